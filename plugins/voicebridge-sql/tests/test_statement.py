"""Named parameters and the end of a statement, found in SQL that is full of traps."""

from __future__ import annotations

import pytest

from voicebridge.tools import SetupError
from voicebridge_sql.statement import Statement


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT a FROM b WHERE c = :c AND d = :d_2 AND e = :c", {"c", "d_2"}),
        ("SELECT ':no' || '''; :no' || :yes", {"yes"}),
        ('SELECT ":no" FROM t WHERE x = :yes', {"yes"}),
        ("SELECT 1 -- :no; and more\n, :yes", {"yes"}),
        ("SELECT 1 /* :no; \n */ + :yes", {"yes"}),
        ("SELECT x::text, :yes::date", {"yes"}),
        ("SELECT $$ ; :no $$, $a$ :no $$ $a$, :yes", {"yes"}),
        ("SELECT E'\\' :no', :yes", {"yes"}),
        ("SELECT '12:30', a[1:2], :yes", {"yes"}),
    ],
)
def test_parameters_are_found_and_what_only_looks_like_one_is_not(text, names):
    assert Statement.of(text).parameters == names


def test_a_semicolon_and_comments_at_the_end_are_no_second_statement():
    assert Statement.of("  SELECT 1 ; -- done;\n ;").text == "SELECT 1"


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "SELECT 1; 'x'", "SELECT 1;:a", "", "  ;  ", "-- SELECT 1"])
def test_what_is_not_one_statement_is_refused(text):
    with pytest.raises(SetupError):
        Statement.of(text)


def test_the_first_word_tells_what_it_does():
    assert Statement.of("/* DELETE */ -- x\n  Select 1").first == "select"


def test_per_cent_signs_and_casts_survive_the_driver_s_format():
    made = Statement.of("SELECT a::text FROM t WHERE b LIKE '%:no%' AND c % 2 = :c").as_pyformat()
    assert made == "SELECT a::text FROM t WHERE b LIKE '%%:no%%' AND c %% 2 = %(c)s"


def test_returning_stands_behind_the_statement():
    assert Statement.of("INSERT INTO t VALUES (1) -- x").returning(("id", "day")).text.endswith("\nRETURNING id, day")
