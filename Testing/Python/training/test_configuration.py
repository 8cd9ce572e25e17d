"""Valid configurations, and the error line with file and key of invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.training import configuration
from LightRegistrationLib.training.configuration import DistillationConfig, TeacherTrainingConfig
from LightRegistrationLib.training.configuration_file import load_config, load_config_as
from LightRegistrationLib.training.export import check_export

from .toy import SOURCE

CONFIGS = Path(configuration.__file__).parent / "configs"
STAGE = "[[stage]]\nsteps = 2\nspacing_mm = 6\n"
TEACHER = f'kind = "teacher"\nname = "mine"\nseed = 3\n[teacher]\ncascades = 1\nchannels = 1\n{SOURCE}{STAGE}'
DISTILLATION = f"""kind = "distillation"
name = "mine"
seed = 3
[knowledge]
every = 1
critic_every = 2
[critic]
channels = [4, 8]
{SOURCE}{STAGE}"""


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda f: f.stem)
def test_the_configurations_in_the_repository_are_valid(file):
    assert load_config(file).name == file.stem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 3", "seed = 3\nsede = 4", "mine.toml: unknown key 'sede'"),
        ("channels", "chanels", r"mine.toml: \[teacher\] unknown key 'chanels'; known keys are cascades, channels"),
        ("steps = 2", "steps = 2\ncascades = 2", r"mine.toml: \[\[stage\]\] 1 unknown key 'cascades'"),
        ("seed = 3\n", "", "mine.toml: the key 'seed' is missing"),
        ("steps = 2", 'steps = "two"', "the key 'steps' has to be of type int, got 'two'"),
        ("channels = 1", "channels = 0", r"mine.toml: \[teacher\] cascades and channels"),
        ("[teacher]\n", "[teacher\n", "mine.toml: this is not valid TOML"),
        ('"teacher"', '"student"', "mine.toml: unknown key 'teacher'"),
        ('"teacher"', '"techer"', "mine.toml: kind is 'techer'"),
        ('"toy"', '"toys"', r"mine.toml: \[\[source\]\] 1 kind is 'toys'; use one of label-maps, images"),
        ('"toy"', '"toy"\nwieght = 2', r"mine.toml: \[\[source\]\] 1 unknown key 'wieght'"),
        ('"toy"', '"toy"\nweight = 0', r"mine.toml: \[\[source\]\] 1 weight has to be positive"),
        (SOURCE, "", r"mine.toml: .*\[\[source\]\]"),
        (STAGE, "", r"mine.toml: .*\[\[stage\]\]"),
        ("steps = 2", "steps = -2", r"mine.toml: \[\[stage\]\] 1 steps has to be 0 or more, got -2"),
        ("steps = 2", "steps = 2\nrate = nan", "mine.toml: stage rate has to be a finite number, got nan"),
        ("spacing_mm = 6", "spacing_mm = 0", r"mine.toml: \[\[stage\]\] 1 spacing_mm has to be 0.001 to 100, got 0"),
        ('"toy"', '"toy"\nweight = inf', "mine.toml: source weight has to be a finite number, got inf"),
        ('"toy"', '"toy"\nspacing_mm = -1', r"mine.toml: \[\[source\]\] 1 spacing_mm has to be 0 or more"),
        ("seed = 3", "seed = -3", "mine.toml: seed has to be a number from 0 to"),
        ("seed = 3", f"seed = {10**30}", "mine.toml: seed has to be a number from 0 to"),
        ('"mine"', '""', "mine.toml: '' cannot be the name of a model"),
        ('"mine"', '"../mine"', r"mine.toml: '\.\./mine' cannot be the name of a model"),
        ('"mine"', '"list"', "mine.toml: 'list' cannot be the name of a model"),
    ],
)
def test_an_error_in_a_teachers_configuration_is_one_line(tmp_path, old, new, message):
    expect_refusal(tmp_path / "mine.toml", TEACHER, old, new, message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("every = 1\n", "evry = 1\n", r"mine.toml: \[knowledge\] unknown key 'evry'; known keys are kind, gamma"),
        ("[4, 8]", "[]", r"mine.toml: \[critic\] channels has to hold positive numbers"),
        ("critic_every = 2", "critic_every = 0", r"mine.toml: \[knowledge\] every and critic_every"),
        ("every = 1\n", 'every = 1\nkind = "wgan"\n', r"mine.toml: \[knowledge\] kind has to be one of none, distance"),
        ("every = 1\n", "every = 1\ngamma = 3\n", r"mine.toml: \[knowledge\] gamma and beta"),
        ('"distillation"', '"teacher"', "mine.toml: unknown key"),
        ("[knowledge]", '[variants."../x".card]\n[knowledge]', r"'\.\./x' cannot be the name of a model"),
        (
            "[knowledge]",
            "[variants.mine.card]\n[knowledge]",
            r"\[variants.mine\] has the name of the run's own",
        ),
    ],
)
def test_an_error_in_a_distillation_configuration_is_one_line(tmp_path, old, new, message):
    expect_refusal(tmp_path / "mine.toml", DISTILLATION, old, new, message)


def expect_refusal(file: Path, text: str, old: str, new: str, message: str) -> None:
    file.write_text(text)
    load_config(file)
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as caught:
        load_config(file)
    assert "\n" not in str(caught.value)


def test_a_configuration_of_another_kind_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_text(TEACHER)
    assert load_config_as(tmp_path / "mine.toml", TeacherTrainingConfig).teacher.channels == 1
    with pytest.raises(InputError, match=r"mine.toml: this configures a teacher, not a distillation"):
        load_config_as(tmp_path / "mine.toml", DistillationConfig)


def test_a_missing_configuration_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.toml: there is no such file"):
        load_config(tmp_path / "nowhere.toml")


CARD = '[card]\ntitle = "Mine"\nmodality = "MRI"\nsummary = "A test."\n[grid]\nspacing_mm = 6.0\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"MRI"', '"PET"', "the model mine could not be used: modality: one of MRI, CT, any is needed"),
        ('"Mine"', "3", "the model mine could not be used: title: text is needed"),
        ("6.0", '"6"', "the model mine could not be used: grid.spacing_mm: a number is needed, not '6'"),
        ("spacing_mm = 6.0", "spacing = 6.0", "the model mine could not be used: grid.spacing: unknown"),
        (
            CARD,
            f'{CARD}[variants.other.card]\ntitle = "Other"\nmodality = "CT"\n',
            "the model other could not be used: the model card lacks summary",
        ),
    ],
)
def test_a_model_that_could_not_be_used_is_refused_before_it_is_trained(tmp_path, old, new, message):
    file = tmp_path / "mine.toml"
    file.write_text(DISTILLATION + CARD)
    check_export(load_config_as(file, DistillationConfig), file)
    file.write_text(DISTILLATION + CARD.replace(old, new))
    with pytest.raises(InputError, match=f"mine.toml: {message}"):
        check_export(load_config_as(file, DistillationConfig), file)


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda f: f.stem)
def test_the_models_of_the_configurations_in_the_repository_could_be_used(file):
    config = load_config(file)
    if not isinstance(config, TeacherTrainingConfig):
        check_export(config, file)
