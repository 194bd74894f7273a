"""The report as files: complete, self-contained, and safe with foreign text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from groundtruth.errors import StoreError
from groundtruth.reporting import write_report

VOID = {"meta", "br", "hr", "img", "link", "input"}
EVIL = '<script>alert(1)</script>&|"x" `c` [l](javascript:x)'


class Reader(HTMLParser):
    """Collects text, tags and attributes, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def test_every_file_is_written_and_named(suite, tmp_path):
    paths = write_report(suite, tmp_path / "new" / "folder")
    names = [str(p.relative_to(tmp_path / "new" / "folder")) for p in paths]
    figure = "figures/01-sparse-small"
    assert names == [
        "results.csv",
        "report.md",
        "report.html",
        f"{figure}-variance.png",
        f"{figure}-variance.svg",
        f"{figure}-recovery.png",
        f"{figure}-recovery.svg",
    ]
    assert all(p.stat().st_size > 0 for p in paths)


def test_same_records_give_the_same_files(suite, tmp_path):
    first, second = (write_report(suite, tmp_path / name) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_html_loads_and_runs_nothing(make, suite, tmp_path):
    write_report([*suite, make(testbed="sparse/other")], tmp_path)
    page = read(tmp_path / "report.html")
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    links = [v for k, v in page.attributes if k in ("src", "href", "xlink:href", "style", "action")]
    assert not any(re.search(r"https?:|//", v) for v in links)
    assert not any(k.startswith("on") for k, _ in page.attributes)
    assert "@import" not in "".join(page.text)
    assert "https://example.org/paper" in "".join(page.text)


def test_names_inside_the_page_are_unique_and_every_reference_resolves(suite, tmp_path):
    write_report(suite, tmp_path)
    page = read(tmp_path / "report.html")
    ids = [v for k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', source)) <= set(ids)


def test_nothing_undefined_is_shown_as_a_number(make, tmp_path):
    records = [make(joint=None), make("sae/relu", ev=None), make("x", failed=True)]
    for path in write_report(records, tmp_path)[:3]:
        assert not re.search(r"\b(NaN|nan|inf|None)\b", path.read_text(encoding="utf-8"))


def test_foreign_text_is_shown_and_never_interpreted(make, tmp_path):
    evil = make(EVIL, testbed=f"world {EVIL}", failed=True)
    evil["method"]["summary"] = evil["testbed"]["summary"] = evil["suite"] = EVIL
    evil["flags"] = [EVIL]
    evil["error"]["message"] = EVIL
    evil["provenance"]["python"] = EVIL
    write_report([evil], tmp_path)
    page = read(tmp_path / "report.html")
    assert "script" not in page.tags
    assert EVIL in "".join(page.text)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)(<script|\[l\]\()", text)


def test_markdown_tables_keep_their_columns_and_figures_exist(make, suite, tmp_path):
    write_report([*suite, make(EVIL)], tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {14}
    figures = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(figures) == 2
    assert all((tmp_path / name).is_file() for name in figures)


def test_failed_runs_are_listed_with_their_error(make, tmp_path):
    write_report([make(), make("sae/relu", seed=3, failed=True)], tmp_path)
    text = "".join(read(tmp_path / "report.html").text)
    assert "sparse/small / sae/relu / seed 3: MethodError: it <diverged>" in text


@pytest.mark.parametrize(
    "records",
    [
        [{}],
        [{"failed": True}, {"method": "b", "failed": True}],
        [{"kind": "control", "method": "C0-random"}],
        [{"method": "名" * 300, "testbed": "\ud800 ✨"}],
        [{"joint": None, "ev": None}],
    ],
)
def test_odd_sets_of_runs_get_a_report(make, records, tmp_path):
    assert len(write_report([make(**r) for r in records], tmp_path)) == 7


def test_two_testbeds_of_one_slug_do_not_share_a_file(make, tmp_path):
    paths = write_report([make(testbed="a/b"), make(testbed="a b")], tmp_path)
    assert len(set(paths)) == 3 + 8


def test_nothing_is_written_when_records_are_refused(tmp_path):
    with pytest.raises(StoreError):
        write_report([], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_folder_that_cannot_be_written_is_a_store_error(make, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="A file stands where a folder is needed"):
        write_report([make()], tmp_path / "file")
