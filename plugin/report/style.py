"""The report page's style sheet: system fonts, light and dark, nothing fetched."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{--bg:#fafaf8;--card:#fff;--text:#1d1d1f;--quiet:#6a6a6c;--rule:#e2e2de;--accent:#c46a00;--plate:#5b7fa6;
--bad:#b3261e;--good:#2b7a3d;--band:#b3261e22}
@media (prefers-color-scheme:dark){:root{--bg:#1a1a1c;--card:#232326;--text:#ececec;--quiet:#9c9c9a;--rule:#36363a;
--accent:#f2a93b;--plate:#7fb2e5;--bad:#ff8a7a;--good:#7fd393;--band:#ff8a7a26}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1180px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:30px;font-weight:600;margin:0 0 8px;overflow-wrap:anywhere}
h2{font-size:18px;font-weight:600;margin:0 0 4px}
p{margin:0 0 8px}
dl{display:flex;flex-wrap:wrap;gap:4px 28px;margin:0 0 24px}
dt{font-size:12px;color:var(--quiet)}
dd{margin:0;font-size:14px;overflow-wrap:anywhere}
section{margin:36px 0 0}
.hint,footer{color:var(--quiet);font-size:13px}
.hint{margin-bottom:12px;max-width:80ch}
footer{margin-top:40px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(230px,1fr));gap:12px}
.tile,.next{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:14px 18px}
.tile b{display:block;font-size:26px;font-weight:600;line-height:1.25}
.tile span{color:var(--quiet);font-size:13px}
.tile.good b{color:var(--good)}
.tile.bad b{color:var(--bad)}
.tile.quiet b{color:var(--quiet)}
.note{margin:12px 0 0;padding:8px 14px;border-left:3px solid var(--bad);background:var(--card)}
.next{margin-top:16px;border-left:3px solid var(--accent)}
.next.with{display:grid;grid-template-columns:1fr minmax(180px,320px);gap:20px;align-items:center}
.next p{margin-top:4px}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:14px}
.sheet.wide{grid-template-columns:repeat(auto-fill,minmax(280px,1fr))}
figure{margin:0}
img{display:block;width:100%;height:auto;border-radius:3px}
figure img+img,figure img+.blank,figure .blank+img{margin-top:6px}
figure.key img,figure.key .blank{outline:2px solid var(--accent);outline-offset:-2px}
figcaption{font-size:13px;color:var(--quiet);margin-top:4px}
figure.key figcaption{color:var(--accent)}
.blank{display:grid;place-items:center;aspect-ratio:16/9;padding:8px;border:1px dashed var(--rule);border-radius:3px;
color:var(--quiet);font-size:13px;text-align:center;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px}
svg text{font-size:12px;fill:var(--quiet)}
svg text.key{fill:var(--accent)}
svg .rule{stroke:var(--rule)}
svg line.key{stroke:var(--accent);stroke-dasharray:3 3}
svg polyline{fill:none;stroke-width:2;stroke-linejoin:round}
svg .area{opacity:.16}
svg .band{fill:var(--band)}
svg .hover{fill:transparent}
svg .hover:hover{fill:var(--band)}
.legend{display:flex;align-items:center;gap:8px;font-size:13px;color:var(--quiet)}
.legend i{width:18px;height:4px;border-radius:2px}
.legend i+i,.legend i:nth-of-type(2){margin-left:14px}
.legend i.heat{width:140px;height:10px;
background:linear-gradient(90deg,#000004,#420a68,#932667,#dd513a,#fca50a,#fcffa4)}
.scroll{max-height:640px;overflow:auto;border:1px solid var(--rule);border-radius:8px;background:var(--card);
margin-top:8px}
table{width:100%;border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:5px 14px;border-bottom:1px solid var(--rule);vertical-align:top;white-space:nowrap}
td.words{white-space:normal;overflow-wrap:anywhere;min-width:220px}
thead th{position:sticky;top:0;background:var(--card);color:var(--quiet);font-weight:500}
tbody th{font-weight:500}
small{color:var(--accent);margin-left:6px}
tr.missing .state,tr.damaged .state,tr.foreign .state{color:var(--bad)}
.bar{display:inline-block;height:8px;background:var(--accent);border-radius:2px;margin-right:8px;opacity:.7}
@media print{.scroll{max-height:none;overflow:visible}section{break-inside:avoid}}
@media (max-width:640px){.next.with{grid-template-columns:1fr}}
"""
