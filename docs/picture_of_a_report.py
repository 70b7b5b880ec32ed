"""Makes docs/report.png, the picture in README.md: parts of one report side by side, as a browser shows it.

    fovea train digits --out digits-run                       # with MobileNetV2's weights at hand
    python docs/picture_of_a_report.py digits-run/report.html

It needs Chromium. The data are scikit-learn's digits (CC BY 4.0), so that the picture may be shown to anyone.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

WIDTH_PX, HEIGHT_PX = 560, 964
OUT = Path(__file__).with_name("report.png")
LEFT = "nav { display: none !important }"
RIGHT = """header.hero, nav, section:not(#wrong), #wrong .scroll:has(#pairs-c), #wrong .scroll:has(#recall-c), #wrong details
    { display: none !important } section { border: 0 !important }"""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--hide-scrollbars",
)  # fmt: skip


def shot(report: str, style: str, folder: Path) -> np.ndarray:
    """The top of the page with a style added, as pixels (H, W, 3)."""
    page, picture = folder / "page.html", folder / "page.png"
    page.write_text(report.replace("</head>", f"<style>{style}</style></head>"), encoding="utf-8")
    browser = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    size, place = f"--window-size={WIDTH_PX},{HEIGHT_PX}", f"--screenshot={picture}"
    subprocess.run([browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", size, place, page.as_uri()], check=True, capture_output=True)
    return np.asarray(cv2.imread(str(picture)))


def main() -> None:
    report = Path(sys.argv[1]).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        left, right = (shot(report, style, Path(folder)) for style in (LEFT, RIGHT))
    line = np.full((HEIGHT_PX, 2, 3), 200, np.uint8)
    cv2.imwrite(str(OUT), np.hstack([left, line, right]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{OUT}: {OUT.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
