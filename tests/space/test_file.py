"""A search space file is read as it was meant, and every mistake is named with file, line, rule and choices."""

from pathlib import Path

import pytest

from smart_tuner.errors import SettingsError
from smart_tuner.settings.settings import Settings
from smart_tuner.space import file as space_file
from smart_tuner.space.checks import tunable
from smart_tuner.space.methods import PRUNERS, SAMPLERS, list_others
from smart_tuner.space.objective import Objective
from smart_tuner.space.space import METRICS, Constraint, Pruner, Sampler
from tests.support.spaces import ALL, BATCH, GUIDED, RATE, SETTINGS, WEIGHT, space, write

TWO = "objective: [{metric: validation.loss, direction: minimize}, {metric: duration, direction: minimize}]\n"
SCHEDULE = "hparams.schedule: {type: categorical, choices: [constant, cosine]}"


def refusal(folder: Path, *lines: str, rest: str = "", settings: Settings = SETTINGS, budget: str | None = None) -> str:
    """The mistake without the file's name; parameters stand from line 2 on."""
    file = write(folder, lines or ALL, rest)
    with pytest.raises(SettingsError) as refused:
        space_file.load_space(file, settings, budget=budget)
    message = str(refused.value)
    assert message.startswith(f"{file}, ")
    assert "\n" not in message
    return message.removeprefix(f"{file}, ")


def test_parameters_keep_their_order_types_and_lines(tmp_path: Path) -> None:
    rate, batch, guided, weight = space(tmp_path).parameters
    assert (rate.low, rate.high, rate.log, rate.step, rate.line) == (1e-4, 1e-2, True, None, 2)
    assert (batch.type, batch.low, batch.high, batch.step, type(batch.low)) == ("int", 8, 64, 8, int)
    assert (guided.choices, guided.line) == ((True, False), 4)
    assert (weight.when, type(weight.high)) == ({"hparams.use_guided_attn": (True,)}, float)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    read = space(tmp_path)
    assert (read.objectives, read.constraints, read.budget) == ((Objective(),), (), None)
    assert (read.sampler, read.pruner, read.audit, read.confirm) == (Sampler(), Pruner(), 0.0, 3)
    assert space(tmp_path, ALL, TWO).pruner.name == "none", "no pruner compares by two objectives"


def test_all_that_is_given_is_taken(tmp_path: Path) -> None:
    rest = """
objective: {metric: validation.alignment_score, direction: maximize}
constraints: {validation.loss: "<=3", validation.gate_mean: [">= 0.1", "<= 9e-1"]}
sampler: {name: gp, startup_trials: 7}
pruner: {name: percentile, warmup: 1ep, percentile: 40, startup_trials: 3}
budget: 20ep
audit: 0.25
confirm: 0
"""
    read = space(tmp_path, ALL, rest)
    assert read.objectives == (Objective(metric="validation.alignment_score", direction="maximize"),)
    assert [str(one) for one in read.constraints] == [
        "validation.loss <= 3",
        "validation.gate_mean >= 0.1",
        "validation.gate_mean <= 0.9",
    ]
    assert read.constraints[0] == Constraint(metric="validation.loss", operator="<=", limit=3.0)
    assert read.sampler == Sampler(name="gp", startup_trials=7)
    assert read.pruner == Pruner(name="percentile", warmup="1ep", percentile=40.0, startup_trials=3)
    assert (read.budget, read.audit, read.confirm) == ("20ep", 0.25, 0)


def test_a_sampler_and_a_pruner_may_be_named_alone(tmp_path: Path) -> None:
    read = space(tmp_path, ALL, "sampler: random\npruner: hyperband")
    assert (read.sampler, read.pruner) == (Sampler(name="random"), Pruner(name="hyperband"))


def test_the_command_lines_budget_stands_for_the_files(tmp_path: Path) -> None:
    assert space(tmp_path, ALL, "budget: 20ep", budget="500utt").budget == "500utt"
    assert "received budget 5m" in refusal(tmp_path, rest="budget: 20ep", budget="5m")


def test_a_step_of_one_and_no_step_are_the_same_for_whole_numbers(tmp_path: Path) -> None:
    line = "hparams.reduction_factor: {type: int, low: 1, high: 3%s}"
    assert space(tmp_path, (line % ", step: 1",)).to_plain() == space(tmp_path, (line % "",)).to_plain()


def test_a_baseline_is_completed_by_the_settings_own_values(tmp_path: Path) -> None:
    rest = "baseline:\n- {hparams.learning_rate: 5e-3}\n- {hparams.use_guided_attn: false, hparams.batch_size: 8}"
    first, second = space(tmp_path, ALL, rest).baseline
    own = {"hparams.learning_rate": 5e-3, "hparams.batch_size": 32, "hparams.use_guided_attn": True}
    assert first == {**own, "hparams.guide_weight": 1.0}
    assert second == {"hparams.learning_rate": 1e-3, "hparams.batch_size": 8, "hparams.use_guided_attn": False}


def test_a_baseline_that_is_tried_anyway_is_not_tried_twice(tmp_path: Path) -> None:
    rest = "baseline: [{hparams.learning_rate: 1.0e-3}, {hparams.batch_size: 8}, {hparams.batch_size: 8}]"
    assert len(space(tmp_path, ALL, rest).baseline) == 1


def test_only_what_decides_how_the_model_learns_may_be_tuned() -> None:
    assert {"hparams.learning_rate", "hparams.schedule", "model.prenet_dim"} <= set(tunable())
    assert {name.partition(".")[0] for name in tunable()} == {"hparams", "model"}
    assert not {"hparams.budget", "hparams.seed", "hparams.validation_freq"} & set(tunable())


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("hparams.lerning_rate: {}", "unknown setting hparams.lerning_rate; valid keys: hparams.learning_rate, "),
        ("3: {type: int}", "unknown key 3 in parameters, which is no text"),
        ("optimizer.lr: {}", "unknown setting optimizer.lr; valid sections: hparams, model"),
        ("learning_rate: {}", "unknown setting learning_rate; valid sections: hparams, model"),
        (
            "hparams.seed: {type: int, low: 1, high: 9}",
            "hparams.seed cannot be searched over: it changes what is measured",
        ),
        ("speech.trim_db: {type: float, low: 20, high: 60}", "speech.trim_db cannot be searched over"),
        ("health.enabled: {type: categorical, choices: [true, false]}", "health.enabled cannot be searched over"),
        ("hparams.seed_: 3", "unknown setting hparams.seed_"),
        ("hparams.batch_size: 16", "hparams.batch_size must hold name: value pairs; received 16"),
        (
            "hparams.batch_size: {low: 8, high: 16}",
            "hparams.batch_size must have type int or categorical; received None",
        ),
        ("hparams.batch_size: {type: float, low: 8, high: 16}", "must have type int or categorical; received 'float'"),
        ("hparams.learning_rate: {type: int, low: 1, high: 2}", "must have type float or categorical; received 'int'"),
        (
            "hparams.fp16_run: {type: int, low: 0, high: 1}",
            "hparams.fp16_run must have type categorical; received 'int'",
        ),
        (
            RATE.replace("low", "lo"),
            "unknown key 'lo' in hparams.learning_rate, which is float; valid keys: type, low, hi",
        ),
        (
            GUIDED.replace("}", ", low: 1}"),
            "unknown key 'low' in hparams.use_guided_attn, which is categorical; valid ke",
        ),
        (GUIDED.replace("[true, false]", "true"), "choices must list at least two values; received True"),
        (GUIDED.replace("[true, false]", "[true]"), "choices must list at least two values; received [True]"),
        (GUIDED.replace("false", "3"), "hparams.use_guided_attn must be true or false; received 3"),
        (GUIDED.replace("false", "true"), "choices must differ; received true, true"),
        (
            SCHEDULE.replace("cosine", "linear"),
            "hparams.schedule must be one of constant, step, exponential, cosine, plateau; received",
        ),
        ("hparams.batch_size: {type: categorical, choices: [16, 1.5]}", "must be a whole number; received 1.5"),
        (RATE.replace("1.0e-4", "low"), "hparams.learning_rate: low must be a finite number; received 'low'"),
        (
            "hparams.learning_rate: {type: float, low: 1e-3}",
            "hparams.learning_rate: high must be a finite number; received",
        ),
        ("hparams.batch_size: {type: int, low: 8, high: 16.5}", "high must be a whole number; received 16.5"),
        (RATE.replace("log: true", "log: 1"), "hparams.learning_rate: log must be true or false; received 1"),
        ("hparams.batch_size: {type: int, low: 16, high: 16}", "low must be below high; received low 16 and high 16"),
        (
            "hparams.learning_rate: {type: float, low: 0, high: 1e-3, log: true}",
            "a log range must start above 0; received",
        ),
        (RATE.replace("}", ", step: 1e-4}"), "a range is log or has a step, not both; received step 0.0001"),
        (BATCH.replace("step: 8", "step: 0"), "step must be above 0 and at most high - low = 56; received 0"),
        (BATCH.replace("step: 8", "step: 57"), "step must be above 0 and at most high - low = 56; received 57"),
        (BATCH.replace("step: 8", "step: 10"), "high must be a whole number of steps above low, 58 or 68; received 64"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_line(tmp_path: Path, line: str, sentence: str) -> None:
    message = refusal(tmp_path, "# the first line below parameters is a comment", line)
    assert message.startswith("line 3: ")
    assert sentence in message


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ("{hparams.schedule: cosine}", "hparams.schedule is no parameter of this space; valid: hparams.learning_rate"),
        ("{hparams.use_guided_attn: true}", "hparams.use_guided_attn stands no earlier in the file"),
        ("{hparams.guide_weight: 1}", "hparams.guide_weight stands no earlier in the file"),
        ("{hparams.batch_size: 12}", "must be a value it can have, 8 to 64 in steps of 8; received 12"),
        ("{hparams.batch_size: many}", "hparams.batch_size must be a whole number; received 'many'"),
        ("{hparams.batch_size: []}", "a condition on hparams.batch_size must name a value; received none"),
        ("{hparams.learning_rate: 1e-3}", "when needs a categorical or int parameter; hparams.learning_rate is float"),
        ("cosine", "hparams.guide_weight: when must hold name: value pairs; received 'cosine'"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(tmp_path: Path, when: str, sentence: str) -> None:
    line = f"hparams.guide_weight: {{type: float, low: 0.1, high: 10, log: true, when: {when}}}"
    message = refusal(tmp_path, RATE, BATCH, line, GUIDED)
    assert message.startswith("line 4: ")
    assert sentence in message


def test_a_condition_on_a_category_it_has_not_is_refused(tmp_path: Path) -> None:
    sigma = "hparams.guide_sigma: {type: float, low: 0.1, high: 0.4, when: {hparams.schedule: exponential}}"
    assert "a value it can have, constant, cosine; received exponential" in refusal(tmp_path, SCHEDULE, sigma)


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("objectiv: 3", "unknown key 'objectiv' in a search space; valid keys: parameters, baseline, objective"),
        ("objective: validation.loss", "objective must hold name: value pairs; received 'validation.loss'"),
        ("objective: {metric: loss, direction: minimize}", "the objective must be a metric that every validation logs"),
        ("objective: {metric: training.loss, direction: minimize}", "received 'training.loss'"),
        ("objective: {metric: validation.freerun.cer, direction: minimize}", "received 'validation.freerun.cer'"),
        ('constraints: {validation.freerun.cer: "<= 0.5"}', "received 'validation.freerun.cer'"),
        ("objective: {metric: [], direction: minimize}", "received []"),
        (
            "objective: {metric: duration, direction: min}",
            "direction of duration must be minimize or maximize; received",
        ),
        ("objective: {metric: duration}", "direction of duration must be minimize or maximize; received None"),
        (
            "objective: {metric: duration, weight: 1}",
            "unknown key 'weight' in objective; valid keys: metric, direction",
        ),
        ("objective: []", "objective must name at least one metric, each once; received none"),
        (TWO.replace("duration", "validation.loss"), "each once; received validation.loss, validation.loss"),
        (TWO + "pruner: asha", "received 2 objectives and pruner asha; choose pruner: none"),
        (
            TWO + "sampler: cmaes",
            f"cmaes optimises one objective; received 2; choose one of {list_others(SAMPLERS, 'cmaes')}.",
        ),
        ('constraints: {validation.step: "<= 3"}', "a constraint must be a metric that every validation logs"),
        ("constraints: {duration: 3}", 'must be <= or >= and a number, in quotes, as in ">= 0.5"; received 3'),
        ('constraints: {duration: "< 3"}', "as in \">= 0.5\"; received '< 3'"),
        ('constraints: {duration: "<= soon"}', "the limit of duration must be a finite number; received 'soon'"),
        ("sampler: bayes", f"unknown sampler 'bayes'; valid: {', '.join(SAMPLERS)}."),
        ("sampler: [tpe]", "unknown sampler ['tpe']"),
        ("sampler: {startup_trials: 3}", "unknown sampler None"),
        ("sampler: {name: tpe, seed: 3}", "unknown key 'seed' in sampler tpe; valid keys: name, startup_trials"),
        (
            "sampler: {name: random, startup_trials: 3}",
            "unknown key 'startup_trials' in sampler random; valid keys: name",
        ),
        ("sampler: {name: tpe, startup_trials: 0}", "startup_trials must be from 1 to 100000; received 0"),
        ("pruner: sha", f"unknown pruner 'sha'; valid: {', '.join(PRUNERS)}."),
        (
            "pruner: {name: asha, patience: 3}",
            "unknown key 'patience' in pruner asha; valid keys: name, warmup, reduction",
        ),
        ("pruner: {name: asha, reduction_factor: 1}", "reduction_factor must be from 2 to 10; received 1"),
        ("pruner: {name: percentile, percentile: 100}", "percentile must be from 1 to 99; received 100"),
        ("pruner: {name: asha, warmup: 100it}", "warmup must be an amount of data, in utt or ep; received '100it'"),
        ("pruner: {name: asha, warmup: soon}", "A budget is 20ep, 5000it, 300000utt or 45m"),
        (
            "pruner: {name: asha, warmup: 1000utt}",
            "must end before the budget does; received warmup 1000utt and budget 1000",
        ),
        ("budget: 20 minutes", "A budget is 20ep, 5000it, 300000utt or 45m"),
        (
            "budget: 45m",
            "compares trials at equal utterances, so budget must be in utt or ep; received budget 45m; else",
        ),
        ("budget: 100it", "the pruner asha compares trials at equal utterances"),
        ("budget: 100it\npruner: none", "equal iterations are unequal data: budget must be in utt or ep (or s, m, h)"),
        ("audit: 1.5", "audit must be from 0 to 1; received 1.5"),
        ("audit: often", "audit must be a finite number; received 'often'"),
        ("confirm: 21", "confirm must be from 0 to 20; received 21"),
        ("confirm: 1.5", "confirm must be a whole number; received 1.5"),
        (
            "sampler: grid",
            f"every float; hparams.learning_rate has neither; other samplers: {list_others(SAMPLERS, 'grid')}.",
        ),
        ("baseline: {hparams.batch_size: 8}", "baseline must be a list of points; received {'hparams.batch_size': 8}"),
        ("baseline: [8]", "a baseline must hold name: value pairs; received 8"),
        (
            "baseline: [{hparams.seed: 8}]",
            "unknown key 'hparams.seed' in a baseline; valid keys: hparams.learning_rate, hp",
        ),
        ("baseline: [{hparams.batch_size: 12}]", "must be a value it can have, 8 to 64 in steps of 8; received 12"),
        ("baseline: [{hparams.learning_rate: 0.1}]", "must be a value it can have, 0.0001 to 0.01, log; received 0.1"),
        (
            "baseline: [{hparams.use_guided_attn: false, hparams.guide_weight: 2}]",
            "hparams.guide_weight counts only with hparams.use_guided_attn = true, which this baseline does not have",
        ),
    ],
)
def test_what_is_wrong_about_the_search_is_refused(tmp_path: Path, rest: str, sentence: str) -> None:
    assert sentence in refusal(tmp_path, rest=rest)


def test_a_mistake_is_found_on_its_own_line(tmp_path: Path) -> None:
    rest = "baseline:\n- hparams.batch_size: 8\n- hparams.batch_size: 16\n  hparams.learning_rate: 1"
    assert refusal(tmp_path, rest=rest).startswith("line 9: hparams.learning_rate")
    assert refusal(tmp_path, rest="audit: 0.1\nsampler:\n  name: tpe\n  startup_trials: 0").startswith("line 9: ")
    assert refusal(tmp_path, rest="audit: 0.1\nbudget: 45m").startswith("line 7: ")
    rest = "objective:\n- {metric: duration, direction: minimize}\n- {metric: loss, direction: minimize}"
    assert refusal(tmp_path, rest=rest).startswith("line 8: ")


def test_wall_time_needs_no_pruner_and_iterations_a_fixed_batch_size(tmp_path: Path) -> None:
    assert space(tmp_path, ALL, "budget: 45m\npruner: none").budget == "45m"
    assert space(tmp_path, (RATE, GUIDED), "budget: 100it\npruner: none").budget == "100it"
    message = refusal(tmp_path, settings=SETTINGS.replace(budget="45m"))
    assert "received budget 45m (the settings' own)" in message


def test_a_warm_up_in_another_unit_than_the_budget_is_compared_once_the_corpus_is_known(tmp_path: Path) -> None:
    assert space(tmp_path, ALL, "budget: 20ep\npruner: {name: asha, warmup: 500utt}").rungs(11400, 570) == (
        500,
        1500,
        4500,
    )


def test_a_grid_takes_steps_and_choices_but_no_conditions(tmp_path: Path) -> None:
    assert space(tmp_path, (BATCH, GUIDED), "sampler: grid").sampler.name == "grid"
    weight = WEIGHT.replace("log: true", "step: 0.1")
    assert "takes no conditions; hparams.guide_weight has one" in refusal(
        tmp_path, GUIDED, weight, rest="sampler: grid"
    )


def test_a_range_whose_end_gives_no_settings_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, GUIDED, RATE.replace("1.0e-4", "1.0e-6"))
    assert message.startswith("line 3: with hparams.learning_rate = 1e-06, hparams.final_learning_rate must be at most")
    kernel = "model.encoder_kernel_size: {type: int, low: 4, high: 5}"
    width = "model.symbols_embedding_dim: {type: int, low: 128, high: 256}"
    assert "with model.symbols_embedding_dim = 129, model.symbols_embedding_dim must be even" in refusal(
        tmp_path, width
    )
    assert "with model.encoder_kernel_size = 4, model.encoder_kernel_size must be an odd" in refusal(tmp_path, kernel)


def test_two_ranges_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    final = "hparams.final_learning_rate: {type: float, low: 1e-6, high: 5e-4, log: true}"
    message = refusal(tmp_path, RATE, final)
    assert message.startswith("line 3: with hparams.learning_rate = 0.0001 and hparams.final_learning_rate = 0.0005, ")


def test_values_that_a_condition_keeps_apart_need_not_go_together(tmp_path: Path) -> None:
    rate = "hparams.learning_rate: {type: categorical, choices: [1e-4, 1e-3]}"
    factor = "hparams.reduction_factor: {type: categorical, choices: [1, 2]}"
    final = "hparams.final_learning_rate: {type: float, low: 1e-6, high: 5e-4, log: true%s}"
    assert len(space(tmp_path, (rate, final % ", when: {hparams.learning_rate: 1e-3}")).parameters) == 2
    for when in (", when: {hparams.reduction_factor: 1}", ", when: {hparams.learning_rate: [1e-4, 1e-3]}"):
        assert "with hparams.learning_rate = 0.0001 and" in refusal(tmp_path, factor, rate, final % when)


def test_the_settings_own_value_may_lie_outside_a_range_but_not_outside_choices(tmp_path: Path) -> None:
    settings = SETTINGS.replace(learning_rate=0.1, batch_size=100)
    assert space(tmp_path, settings=settings).own(settings)["hparams.batch_size"] == 100
    dropout = "hparams.attention_dropout: {type: float, low: 0.1, high: 0.4}"
    assert space(tmp_path, (dropout,), settings=SETTINGS.replace(attention_dropout=0.0)), "0 is no log's"
    message = refusal(tmp_path, "hparams.batch_size: {type: categorical, choices: [16, 64]}")
    assert (
        "hparams.batch_size in the settings, tried first, must be a value it can have, 16, 64; received 32" in message
    )


def test_the_settings_own_value_may_not_be_zero_on_a_log_range(tmp_path: Path) -> None:
    line = "hparams.forward_sum_weight: {type: float, low: 0.01, high: 1, log: true"
    assert "must be above 0 as the range is log; received 0.0" in refusal(tmp_path, line + "}")
    assert space(tmp_path, (GUIDED, line + ", when: {hparams.use_guided_attn: false}}")), "it does not count there"


def test_a_baseline_may_not_bring_in_an_own_value_that_cannot_be_tried(tmp_path: Path) -> None:
    when = "when: {hparams.use_guided_attn: false}"
    line = f"hparams.forward_sum_weight: {{type: float, low: 0.01, high: 1, log: true, {when}}}"
    message = refusal(tmp_path, GUIDED, line, rest="baseline: [{hparams.use_guided_attn: false}]")
    assert "hparams.forward_sum_weight in the settings, tried first, must be above 0" in message


@pytest.mark.parametrize("text", ["", "- parameters", "parameters:", "parameters: {}", "confirm: 3"])
def test_a_file_without_parameters_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mine\.yaml, line 1: .*received"):
        space_file.load_space(file, SETTINGS)


def test_every_metric_of_a_search_may_be_named(tmp_path: Path) -> None:
    limits = ", ".join(f'{metric}: ">= 0"' for metric in METRICS)
    assert space(tmp_path, (RATE,), f"constraints: {{{limits}}}").metrics == METRICS
