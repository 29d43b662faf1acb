from shared.texts import clip, duration, percent, visible


def test_visible_keeps_ordinary_text_of_any_script() -> None:
    text = "tab\t line\n \u05e9\u05dc\u05d5\u05dd \u200f \u4f60\u597d e\u0301 \U0001f600"
    assert visible(text) == text
    assert visible("a\r\nb") == "a\nb"
    assert visible(3) == 3


def test_numbers_as_a_person_reads_them() -> None:
    assert [percent(0.26), percent(1 / 3), percent(None)] == ["26.00%", "33.33%", "\u2014"]
    assert [duration(812.4), duration(999.6), duration(1240)] == ["812\u00a0ms", "1.00\u00a0s", "1.24\u00a0s"]
    assert [clip("abcd", 4), clip("abcde", 4)] == ["abcd", "abc\u2026"]
