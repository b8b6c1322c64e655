"""Configuration: file, environment, flags, in this order, and every fault in one line that
helps.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from shared.config import Config, explain, load
from shared.errors import InputError


class Engine(Config):
    """One of several."""

    name: str = Field(description="how it is called")
    power: int = Field(5, ge=1, description="in kW")
    gears: Literal["auto"] | Annotated[int, Field(ge=1)] = Field("auto", description="or a number")
    ratio: float = Field(1.0, gt=0, description="of the drive")


class Cooling(Config):
    """Optional."""

    fans: int = Field(2, description="how many")


class Machine(Config):
    """For these tests."""

    label: str = Field("none", description="on the outside")
    tags: tuple[str, ...] = Field((), description="any number")
    cooling: Cooling = Field(Cooling(), description="of all engines")
    engine: tuple[Engine, ...] = Field((), description="one table each")

    @model_validator(mode="after")
    def _tags_differ(self) -> "Machine":
        if len(set(self.tags)) < len(self.tags):
            raise ValueError("tags: two are the same")
        return self


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "machine.toml"
    path.write_text(
        'label = "file"\n\n[cooling]\nfans = 3\n\n[[engine]]\nname = "a"\n\n[[engine]]\nname ='
        ' "b"\npower = 7\n'
    )
    return path


def test_flags_beat_the_environment_and_that_beats_the_file(toml: Path) -> None:
    environ = {"STILLHOUSE_LABEL": "environment", "STILLHOUSE_COOLING__FANS": "4", "UNRELATED": "x"}
    assert load(Machine, toml, environ={}).label == "file"
    machine = load(
        Machine, toml, ["cooling.fans=5", 'tags=["x", "y"]', "engine.1.power=9"], environ
    )
    assert (machine.label, machine.cooling.fans, machine.tags) == ("environment", 5, ("x", "y"))
    assert [engine.power for engine in machine.engine] == [5, 9]


def test_without_a_file_the_given_default_is_read() -> None:
    assert load(Machine, None, environ={}, default='label = "embedded"').label == "embedded"


def test_a_variable_that_names_no_key_is_warned_about(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(Machine, toml, environ={"STILLHOUSE_OTHER": "1"})
    assert "STILLHOUSE_OTHER" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "fans = 3",
            "fan = 3",
            r"machine.toml:4: cooling.fan: unknown key; did you mean cooling.fans\?",
        ),
        (
            "power = 7",
            "power = 0",
            r"machine.toml:11: engine.1.power: input should be greater.*got '0'",
        ),
        (
            "power = 7",
            "powr = 7",
            r"machine.toml:11: engine.1.powr: unknown key; did you mean engine.1.power\?",
        ),
        (
            "power = 7",
            "gears = 0",
            r":11: engine.1.gears: input should be 'auto', or .*greater than .*1 \(got '0'\)",
        ),
        (
            "power = 7",
            "ratio = inf",
            r"machine.toml:11: engine.1.ratio: input should be a finite number \(got 'inf'\)",
        ),
        ('name = "b"', "", r"engine.1.name: missing"),
        (
            'label = "file"',
            "fans = 3",
            r"machine.toml:1: fans: unknown key; did you mean cooling.fans\?",
        ),
        ("fans = 3", "fans = ", r"machine.toml: not valid TOML.*line 4"),
        ("fans = 3", "fans = " + "[" * 5000, r"machine.toml: nested too deeply"),
        (
            'label = "file"',
            'tags = "x"',
            r"machine.toml:1: tags: a list belongs here: .* \(got 'x'\)",
        ),
    ],
)
def test_a_fault_is_one_line_with_place_key_and_remedy(
    toml: Path, old: str, new: str, message: str
) -> None:
    toml.write_text(toml.read_text().replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        load(Machine, toml, environ={})
    assert "\n" not in str(caught.value)


def test_a_fault_is_looked_for_where_the_value_was_given(toml: Path) -> None:
    with pytest.raises(
        InputError, match=r"^--set engine.1.power: engine.1.power: input should be greater"
    ):
        load(Machine, toml, ["engine.1.power=0"], environ={"STILLHOUSE_ENGINE__1__POWER": "-1"})
    with pytest.raises(
        InputError, match=r"^environment variable STILLHOUSE_COOLING__FAN: cooling.fan: unknown key"
    ):
        load(Machine, toml, environ={"STILLHOUSE_COOLING__FAN": "3"})
    with pytest.raises(
        InputError, match=r"^--set coolin.fans: coolin: unknown key; did you mean cooling\?"
    ):
        load(Machine, toml, ["coolin.fans=3"], environ={})
    with pytest.raises(
        InputError, match=r"machine.toml: tags: two are the same$"
    ):  # no one key's fault
        load(Machine, toml, ['tags=["x", "x"]', "label=y"], environ={})


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("label", "key=value"),
        ("engine.2.power=1", "engine has 2 tables, numbered from 0"),
        ("label.x=1", "label is a value, not a table"),
        ("cooling.fans=9223372036854775808", r"machine.toml: cooling.fans: beyond 64 bits"),
        ("engine.1.power=99999999999999999999", r"machine.toml: engine.1.power: beyond 64 bits"),
    ],
)
def test_a_flag_that_leads_nowhere_says_why(toml: Path, item: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(Machine, toml, [item], {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cooling = 3\n", r"machine.toml:1: cooling: a table belongs here: .* \(got '3'\)"),
        (
            '[engine]\nname = "a"\n',
            r"machine.toml:1: engine: a list belongs here: .*\[\[name\]\] above each",
        ),
        ("engine = [1]\n", r"machine.toml: engine.0: a table belongs here"),
    ],
)
def test_a_value_of_another_shape_is_told_in_tomls_words(
    toml: Path, text: str, message: str
) -> None:
    toml.write_text(text)
    with pytest.raises(InputError, match=message):
        load(Machine, toml, environ={})


def test_a_byte_order_mark_is_no_part_of_the_file(toml: Path) -> None:
    toml.write_bytes(b"\xef\xbb\xbf" + toml.read_bytes())
    assert load(Machine, toml, environ={}).label == "file"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: No such file"):
        load(Machine, tmp_path / "none.toml", environ={})
    (tmp_path / "latin.toml").write_bytes('label = "é"'.encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8 at byte 9"):
        load(Machine, tmp_path / "latin.toml", environ={})


def test_the_explanation_is_toml_that_says_what_every_key_means() -> None:
    text = explain(Machine)
    assert tomllib.loads(text.replace("…", '""'))["cooling"] == {"fans": 2}
    assert "# in kW" in text
    assert "[[engine]]" in text


class Secretive(Config):
    """Keys beside which a user may write a secret by mistake."""

    api_key_env: int = Field(0, description="a name belongs here")
    base_url: str = Field("", pattern="^https://", description="an address")


def test_what_may_be_a_secret_is_in_no_message(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    for line in (
        'api_key_env = "sk-secret"',
        'base_url = "http://me:sk-secret@host/v1"',
        'base_url = "http://host/v1?key=sk-secret"',
    ):
        path.write_text(line)
        with pytest.raises(InputError, match=line.partition(" ")[0]) as caught:
            load(Secretive, path, environ={})
        assert "sk-secret" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        load(Secretive, None, ["https://me:sk-secret@host"], environ={})
    assert "sk-secret" not in str(caught.value)


def test_a_value_without_quotes_is_read_as_toml_where_it_can_be(toml: Path) -> None:
    machine = load(
        Machine, toml, ["label=plain words", "cooling.fans=0x10", "tags=['a']"], environ={}
    )
    assert (machine.label, machine.cooling.fans, machine.tags) == ("plain words", 16, ("a",))


def test_a_flag_makes_the_tables_that_the_file_lacks(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.write_text("")
    assert load(Machine, path, ["cooling.fans=9"], environ={}).cooling.fans == 9


def test_a_loaded_configuration_cannot_be_changed(toml: Path) -> None:
    machine = load(Machine, toml, environ={})
    with pytest.raises(ValidationError, match="frozen"):
        machine.label = "other"


def test_a_fault_in_a_later_table_has_the_line_of_that_table(toml: Path) -> None:
    toml.write_text(toml.read_text() + '\n[[engine]]\nname = "c"\n\npower = 0  # here\n')
    with pytest.raises(InputError, match=r"machine\.toml:16: engine\.2\.power"):
        load(Machine, toml, environ={})


def test_a_fault_in_an_inline_table_names_the_file_without_a_line(tmp_path: Path) -> None:
    path = tmp_path / "machine.toml"
    path.write_text("cooling = {fans = 'x'}\n")
    with pytest.raises(InputError, match=r"machine\.toml: cooling\.fans: input should be a valid"):
        load(Machine, path, environ={})
