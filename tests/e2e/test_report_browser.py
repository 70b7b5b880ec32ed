"""Reports in a browser: nothing is asked for, nothing scrolls sideways, axe-core and the validator find nothing, the keyboard reaches the map."""

from pathlib import Path

import pytest
from benchmarks.harness.pages import look, needed
from benchmarks.harness.places import Skip

import fovea


@pytest.fixture(scope="module", autouse=True)
def _browser() -> None:
    try:
        needed()
    except Skip as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
def test_pages_hold_up_in_a_browser(probe_run, scratch_run, tmp_path: Path) -> None:
    compared = fovea.report(probe_run.path, scratch_run.path, out=str(tmp_path / "compared.html"))
    seen = [look(page) for page in (probe_run.report, scratch_run.report, compared.path)]
    assert [found.told() for found in seen] == [[], [], []]
    assert [len(found.readers) for found in seen] == [4, 4, 4]
    assert all(found.readers[0]["map"]["spots"] > 20 for found in seen[:2])


@pytest.mark.slow
def test_what_is_wrong_with_a_page_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><html><head><meta charset="utf-8"><title>x</title></head><body><main><h1>x</h1><img src="http://127.0.0.1:9/x.png">'
        '<p style="color:#bbb;background:#fff;width:3000px">pale</p><pre aria-label="x">y</pre></main></body></html>'
    )
    seen = look(page)
    told = "\n".join(seen.told())
    for expected in ("image-alt", "html-has-lang", "color-contrast", "asked for http://127.0.0.1:9/x.png", "px sideways"):
        assert expected in told
    if seen.invalid is not None:
        assert "not valid: line 1: An “img” element must have an “alt” attribute" in told
