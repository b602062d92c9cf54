-- The Fuse's host: what it defines, and the globals that a Fuse must define. Anything else that is global is a leak.
std = "luajit"
max_line_length = 130
globals = {
    "Create", "Process", "NotifyChanged",
    "InMode", "InFrames", "InHash", "InLook", "InWork", "InColorspace", "InPixels", "InOffset", "InCommand", "InImage", "OutImage",
}
read_globals = {
    "self", "FuRegisterClass", "CT_Tool", "Image", "Clip", "EXRIO", "ImgRectI", "Pixel",
    "IMDP_64bitInt", "IMDP_128bitFloat", "ANY_TYPE", "CHAN_RED", "CHAN_GREEN", "CHAN_BLUE", "CHAN_ALPHA",
}
