"""A small model of the API that Fusion gives a Fuse, in LuaJIT: enough to run a Fuse unmodified, and strict.

Names and shapes follow the vendor's Fuse SDK 18; EXRIO, which the SDK does not describe, follows its use in published
Fuses. What the model does not know is an error, never nil, so a misspelt name fails here as it would in the host. It is
no oracle of pixels: where the host's behavior is not documented, the model takes the less convenient one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio

__all__ = ["DEPTHS", "Fuse", "FuseError"]

DEPTHS = {"IMDP_32bitInt": 8, "IMDP_64bitInt": 16, "IMDP_64bitFloat": -16, "IMDP_128bitFloat": -32}
"""Bits of a channel by the host's name; negative for floating point."""
_CLIP_FORMATS = {".bmp", ".gif", ".jpg", ".jpeg", ".png", ".tga", ".tif", ".tiff"}

_PRELUDE = """
local host = ...
local function known(kind, fields, members)
    return setmetatable(fields, { __index = function(_, name)
        if members[name] == nil then error("the model's " .. kind .. " has no " .. tostring(name), 2) end
        return members[name] or nil
    end })
end
local function only(kind, given, allowed)
    for name in pairs(given) do
        if type(name) == "string" and not allowed[name] then error(kind .. " takes no " .. name, 3) end
    end
end
local function set(text)
    local names = {}
    for name in text:gmatch("%S+") do names[name] = true end
    return names
end

local Rect = {}
function Rect:Offset(x, y)
    self.left, self.right, self.bottom, self.top = self.left + x, self.right + x, self.bottom + y, self.top + y
end
local function rect(left, bottom, right, top)
    return known("rectangle", { left = left, bottom = bottom, right = right, top = top }, Rect)
end
function ImgRectI(other) return rect(other.left, other.bottom, other.right, other.top) end

local ImageMembers, image_words = { Metadata = false, DataWindow = false },
    set("IMG_Like IMG_Width IMG_Height IMG_Depth IMG_DataWindow IMG_YScale IMG_NoData")
function Image(args)
    only("Image", args, image_words)
    local like = args.IMG_Like
    local image = known("image", {
        Width = args.IMG_Width or like.Width, Height = args.IMG_Height or like.Height,
        Depth = args.IMG_Depth or like.Depth, YScale = args.IMG_YScale or (like and like.YScale or 1),
        NoData = args.IMG_NoData or false, ProxyScale = 1, DataWindow = args.IMG_DataWindow,
        Metadata = like and like.Metadata or nil,
    }, ImageMembers)
    local window = image.DataWindow
    image.id = host.new(window and window.right - window.left or image.Width,
        window and window.top - window.bottom or image.Height)
    return image
end
function ImageMembers:CopyOf()
    local out = Image({ IMG_Like = self })
    host.copy(self.id, out.id, out.Depth)
    return out
end
function ImageMembers:Crop(out, args)
    only("Crop", args, set("CROP_XOffset CROP_YOffset CROP_Width CROP_Height"))
    host.copy(self.id, out.id, out.Depth)
end
function ImageMembers:Resize(out, args)
    only("Resize", args, set("RSZ_Filter RSZ_Width RSZ_Height"))
    host.resize(self.id, out.id)
end
function ImageMembers:Gain(r, g, b, a) host.gain(self.id, r, g, b, a) end
function ImageMembers:Fill(pixel) host.fill(self.id, pixel.R, pixel.G, pixel.B, pixel.A) end
function ImageMembers:Clear() host.fill(self.id, 0, 0, 0, 0) end
function Pixel(values) only("Pixel", values, set("R G B A")) return values end

local ClipMembers = {}
function Clip(path, writing) return known("clip", { path = path, writing = writing, opened = false }, ClipMembers) end
function ClipMembers:Open() self.opened = true return true end
function ClipMembers:Close() self.opened = false end
function ClipMembers:GetFrame(time)
    assert(self.opened and not self.writing, "the clip is not open for reading")
    local found, width, height, depth = host.get_frame(self.path, time)
    if not found then return nil end
    local image = Image({ IMG_Width = width, IMG_Height = height, IMG_Depth = depth })
    host.adopt(image.id)
    return image
end
function ClipMembers:PutFrame(time, image)
    assert(self.opened and self.writing, "the clip is not open for writing")
    return host.put_frame(self.path, time, image.id, image.Depth)
end

local ExrMembers = { NumParts = 1 }
ANY_TYPE, CHAN_RED, CHAN_GREEN, CHAN_BLUE, CHAN_ALPHA = -1, 0, 1, 2, 3
function EXRIO() return known("EXRIO", { asked = {}, why = "", path = "" }, ExrMembers) end
function ExrMembers:ReadOpen(path, frame) assert(frame == -1); self.path = path end
function ExrMembers:ReadHeader()
    local ok, why = host.exr_header(self.path)
    self.why = why
    return ok
end
function ExrMembers:DisplayWindow(part) return rect(host.exr_window(self.path, part, true)) end
function ExrMembers:DataWindow(part) return rect(host.exr_window(self.path, part, false)) end
function ExrMembers:PixelAspectRatio(part) return host.exr_aspect(self.path, part) end
function ExrMembers:GetChannels(part)
    local channels = {}
    for name in host.exr_channels(self.path, part):gmatch("[^\\n]+") do channels[#channels + 1] = { Name = name } end
    return channels
end
function ExrMembers:Part(part) self.asked = {} return part end
function ExrMembers:Channel(name, kind, samples, channel)
    assert(kind == ANY_TYPE and samples == 1)
    self.asked[#self.asked + 1] = { name, channel }
end
function ExrMembers:ReadPart(part, images)
    for _, asked in ipairs(self.asked) do
        local why = host.exr_read(self.path, part, asked[1], images[1].id, asked[2])
        if why ~= "" then self.why = why return false end
    end
    return true
end
function ExrMembers:GetLastError() return self.why end
function ExrMembers:Close() return true end

CT_Tool = "CT_Tool"
local class_words = set("REGS_Name REGS_Category REGS_OpIconString REGS_OpDescription REG_Version REG_TimeVariant "
    .. "REG_NoPreCalcProcess REG_NoMotionBlurCtrls REG_OpNoMask REG_NoBlendCtrls REG_NoObjMatCtrls REGS_Company")
local input_words = set("LINKID_DataType INPID_InputControl INP_Integer INP_Default INPS_DefaultText INP_MinScale "
    .. "INP_MaxScale INP_MinAllowed INP_MaxAllowed INP_DoNotifyChanged INP_Required INP_External IC_Visible LINK_Main "
    .. "FC_ClipBrowse FC_PathBrowse FC_IsSaver FCS_FilterString TEC_Lines IC_Disabled")
function FuRegisterClass(name, kind, words)
    only("FuRegisterClass", words, class_words)
    host.register(name, kind, words)
end
local InputMembers = { value = false }
function InputMembers:GetValue()
    if self.attrs.LINKID_DataType == "Image" then return self.value end
    return { Value = self.value }
end
function InputMembers:SetAttrs(words)
    only("SetAttrs", words, input_words)
    for name, value in pairs(words) do self.attrs[name] = value end
end
local OutputMembers = {}
function OutputMembers:Set(request, image) request.result = image end
local ToolMembers = {}
inputs, input_order = {}, {}
function ToolMembers:AddInput(label, id, attrs)
    only("AddInput", attrs, input_words)
    local value = attrs.INP_Default
    if attrs.LINKID_DataType == "Text" then value = attrs.INPS_DefaultText or "" end
    inputs[id] = known("input", { label = label, id = id, attrs = attrs, value = value }, InputMembers)
    input_order[#input_order + 1] = id
    return inputs[id]
end
function ToolMembers:AddOutput(label, id, attrs)
    return known("output", { label = label, id = id, attrs = attrs }, OutputMembers)
end
local comp = known("comp", {}, { MapPath = function(_, path) return host.map_path(path) end })
self = known("tool", { Comp = comp }, ToolMembers)

function model_request(time, precalc, quick)
    return known("request", { Time = time, result = false }, {
        IsPreCalc = function() return precalc end, IsQuick = function() return quick end })
end
function model_set(id, value)
    inputs[id].value = value
    if inputs[id].attrs.INP_DoNotifyChanged and NotifyChanged then NotifyChanged(inputs[id], { Value = value }, 0) end
end
function model_plate(width, height, depth, proxy)
    local image = Image({ IMG_Width = width, IMG_Height = height, IMG_Depth = depth })
    image.ProxyScale = proxy
    return image
end
function model_process(request)
    local ok, why = pcall(Process, request)
    return ok, ok and "" or tostring(why), request.result
end
"""


class FuseError(Exception):
    """What ``Process`` raised; the host shows it in its console and the tool fails."""


@dataclass(frozen=True)
class Shown:
    """What a Fuse handed to its output."""

    pixels: np.ndarray
    """(H, W, 4) float32, the data window, first row on top."""
    width: int
    height: int
    depth: str
    metadata: dict[str, Any]
    window: tuple[int, int, int, int] | None
    """Left, bottom, right and top of the data window from the display window's lower left corner; None for all."""
    no_data: bool


@dataclass
class Fuse:
    """One Fuse, loaded from its file as it is."""

    path: Path
    map_path: Callable[[str], str] = lambda path: path
    """What the comp makes of a path."""
    writes_exr: bool = True
    """Whether ``PutFrame`` writes EXR as well, which the SDK does not list and a published Fuse does."""
    png_bits: int | None = None
    """Bits that the host writes whatever it is given; None for the image's own."""
    written: list[str] = field(default_factory=list)
    """Paths given to ``PutFrame``."""
    registered: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from lupa import luajit21

        self._images: dict[int, np.ndarray] = {}
        self._read = np.zeros((1, 1, 4), np.float32)
        self.lua = luajit21.LuaRuntime(unpack_returned_tuples=True)
        host = {
            "register": self._register,
            "new": self._new,
            "copy": self._copy,
            "resize": self._resize,
            "gain": self._gain,
            "fill": self._fill,
            "get_frame": self._get_frame,
            "adopt": self._adopt,
            "put_frame": self._put_frame,
            "exr_header": self._exr_header,
            "exr_window": self._exr_window,
            "exr_aspect": self._exr_aspect,
            "exr_channels": self._exr_channels,
            "exr_read": self._exr_read,
            "map_path": lambda path: self.map_path(path),
        }
        for depth in DEPTHS:
            self.lua.globals()[depth] = depth
        self.lua.execute(_PRELUDE, self.lua.table_from(host))
        self.lua.execute(self.path.read_text(encoding="utf-8"))
        self.lua.globals()["Create"]()

    def set(self, **values: Any) -> None:
        """Turn knobs, by their ids."""
        for name, value in values.items():
            self.lua.globals()["model_set"](name, value)

    def attribute(self, name: str, attribute: str) -> Any:
        """An attribute of an input as it is now."""
        return self.lua.globals()["inputs"][name]["attrs"][attribute]

    def knobs(self) -> list[tuple[str, str]]:
        """Id and label of each input, in order."""
        inputs = self.lua.globals()["inputs"]
        return [(name, inputs[name]["label"]) for name in self.lua.globals()["input_order"].values()]

    def process(
        self, time: float, plate: np.ndarray | None = None, *, precalc: bool = False, proxy: float = 1.0
    ) -> Shown:
        """Ask for a frame.

        Args:
            plate: (H, W, 4) float32 at the main input; None for nothing connected.

        Raises:
            FuseError: ``Process`` failed, or set nothing.
        """
        call = self.lua.globals()
        image = None
        if plate is not None:
            image = call["model_plate"](plate.shape[1], plate.shape[0], "IMDP_128bitFloat", proxy)
            self._images[image["id"]] = plate.astype(np.float32)
        call["inputs"]["Input"]["value"] = image
        ok, why, result = call["model_process"](call["model_request"](time, precalc, False))
        if not ok:
            raise FuseError(why)
        if not result:
            raise FuseError("the output was not set")
        window = result["DataWindow"]
        return Shown(
            self._images[result["id"]],
            result["Width"],
            result["Height"],
            result["Depth"],
            dict(result["Metadata"].items()) if result["Metadata"] else {},
            tuple(int(window[side]) for side in ("left", "bottom", "right", "top")) if window else None,  # type: ignore[arg-type]
            bool(result["NoData"]),
        )

    def _register(self, name: str, kind: str, words: Any) -> None:
        self.registered = {"name": name, "kind": kind, **dict(words.items())}

    def _new(self, width: float, height: float) -> int:
        self._images[len(self._images)] = np.zeros((int(height), int(width), 4), np.float32)
        return len(self._images) - 1

    def _copy(self, source: int, target: int, depth: str) -> None:
        self._images[target] = _quantized(self._images[source], DEPTHS[depth])

    def _resize(self, source: int, target: int) -> None:
        big, (height, width) = self._images[source], self._images[target].shape[:2]
        rows = (np.arange(height) + 0.5) * big.shape[0] / height
        columns = (np.arange(width) + 0.5) * big.shape[1] / width
        self._images[target] = big[rows.astype(int)][:, columns.astype(int)]

    def _gain(self, image: int, *gains: float) -> None:
        self._images[image] = self._images[image] * np.float32(gains)

    def _fill(self, image: int, *values: float) -> None:
        self._images[image][:] = np.float32(values)

    def _get_frame(self, path: str, time: float) -> tuple[bool, int, int, str]:
        file = _sequence_file(path, time)
        source = oiio.ImageInput.open(str(file)) if file.suffix.lower() in _CLIP_FORMATS and file.is_file() else None
        if source is None:
            return False, 0, 0, ""
        spec = source.spec()
        values = source.read_image("float").reshape(spec.height, spec.width, -1)
        source.close()
        if values.shape[2] < 3:
            values = np.repeat(values[..., :1], 3, axis=2)
        alpha = values[..., 3:4] if values.shape[2] > 3 else np.ones_like(values[..., :1])
        self._read = np.concatenate([values[..., :3], alpha], axis=2)
        return True, spec.width, spec.height, "IMDP_64bitInt" if str(spec.format) == "uint16" else "IMDP_32bitInt"

    def _adopt(self, image: int) -> None:
        self._images[image] = self._read

    def _put_frame(self, path: str, time: float, image: int, depth: str) -> bool:
        file = _sequence_file(path, time)
        self.written.append(str(file))
        if file.suffix.lower() == ".exr":
            return self.writes_exr and self._write_exr(file, self._images[image], DEPTHS[depth])
        assert file.suffix.lower() in _CLIP_FORMATS, file
        # Eight bits for anything else: a host may do so, and a Fuse that relies on more must notice.
        bits = self.png_bits or (16 if DEPTHS[depth] == 16 else 8)
        pixels = self._images[image]
        spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 4, f"uint{bits}")
        target = oiio.ImageOutput.create(str(file))
        target.open(str(file), spec)
        written = bool(target.write_image(pixels))
        target.close()
        return written

    def _write_exr(self, file: Path, pixels: np.ndarray, bits: int) -> bool:
        kept = _quantized(pixels, bits)
        spec = oiio.ImageSpec(kept.shape[1], kept.shape[0], 4, "half" if abs(bits) == 16 else "float")
        target = oiio.ImageOutput.create(str(file))
        target.open(str(file), spec)
        written = bool(target.write_image(kept))
        target.close()
        return written

    def _exr_header(self, path: str) -> tuple[bool, str]:
        source = oiio.ImageInput.open(path)
        if source is None:
            return False, oiio.geterror() or "cannot be opened"
        source.close()
        return True, ""

    def _spec(self, path: str, part: float) -> oiio.ImageSpec:
        source = oiio.ImageInput.open(path)
        spec = source.spec(int(part) - 1)
        source.close()
        return spec

    def _exr_window(self, path: str, part: float, display: bool) -> tuple[int, int, int, int]:
        spec = self._spec(path, part)
        foot = spec.full_y + spec.full_height
        if display:
            return spec.full_x, 0, spec.full_x + spec.full_width, spec.full_height
        return spec.x, foot - (spec.y + spec.height), spec.x + spec.width, foot - spec.y

    def _exr_aspect(self, path: str, part: float) -> float:
        return float(self._spec(path, part).get_float_attribute("PixelAspectRatio", 1.0))

    def _exr_channels(self, path: str, part: float) -> str:
        return "\n".join(self._spec(path, part).channelnames)

    def _exr_read(self, path: str, part: float, name: str, image: int, channel: float) -> str:
        source = oiio.ImageInput.open(path)
        spec = source.spec(int(part) - 1)
        at = spec.channelnames.index(name)
        values = source.read_image(int(part) - 1, 0, at, at + 1, "float")
        why = source.geterror()
        source.close()
        if values is None:
            return str(why or "cannot be read")
        self._images[image][..., int(channel)] = values.reshape(spec.height, spec.width)
        return ""


def _sequence_file(path: str, time: float) -> Path:
    """The file of a clip at a time: its last number, before the extension, is the frame's."""
    head, digits, tail = re.fullmatch(r"(.*?)(\d*)(\.\w+)", path).groups()  # type: ignore[union-attr]
    return Path(f"{head}{int(time):0{len(digits) or 4}d}{tail}")


def _quantized(pixels: np.ndarray, bits: int) -> np.ndarray:
    if bits < 0:
        return pixels.astype(np.float16 if bits == -16 else np.float32).astype(np.float32)
    top = 2**bits - 1
    return (np.round(np.clip(pixels, 0, 1) * top) / top).astype(np.float32)
