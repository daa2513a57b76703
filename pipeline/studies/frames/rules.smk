from pipeline.studies.frames import paths as frames_files

FRAMES = PARAMS.frames
FRAMES_BOTH = frames_files.both_models(FRAMES)
FRAMES_LABEL = frames_files.label_need(FRAMES)
FRAMES_COUNTED = {**FRAMES_LABEL, **frames_files.COUNTED}
FRAMES_ROOT = frames_files.root_need(FRAMES)
FRAMES_READING = {"decoding": "frames.decoding", **FRAMES_ROOT}
FRAMES_PLAYED = but("frames.coalitions", "outputs")
FRAMES_TRIED = but("frames.convergence", "clips", "repeats", "budgets", "seed")
FRAMES_SCORED = {
    "score": "frames.coalitions.score",
    "short_videos": "frames.coalitions.short_videos",
    **FRAMES_COUNTED,
}
FRAMES_TIMED = {"timed_on": given(DEVICE_USED, "device"), **FRAMES_COUNTED}
FRAMES_BACKBONES = [f"results/frames/backbone/{m}.pt" for m in frames_files.MODELS]
FRAMES_CLIPS = directory("results/frames/figures/clips")
FRAMES_SHOWN = {
    name: reported("frames", f"results/frames/figures/{name}.png", "Models, values")
    for name in frames_files.FIGURES["figures"]
}
FRAMES_VALUES = [f"results/frames/values/{model}.h5" for model in frames_files.MODELS]
FRAMES_GRADIENTS = [
    f"results/frames/gradients/{model}.h5" for model in frames_files.MODELS
]


wildcard_constraints:
    model="trn|tsn",
    split="train|validation",
    scale=r"\d+",


rule frames_videos:
    output:
        out=directory(frames_files.RENDERED),
    log:
        "results/logs/frames/videos.log",
    # It takes all cores, which are free at the beginning.
    priority: 1
    conda:
        ENVIRONMENT
    threads: 64
    params:
        needs(params="frames.videos"),
    shell:
        STAGE


# One thread: both backbones train side by side, to the same weights on machines with any number of
# cores.
rule frames_backbone:
    input:
        frames_files.dataset_files(FRAMES),
        lambda wildcards: frames_files.given_weights(FRAMES, wildcards.model),
    output:
        out="results/frames/backbone/{model}.pt",
    log:
        "results/logs/frames/backbone_{model}.log",
    # The longest chain of jobs goes through here.
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(
            params="frames.backbone",
            clips="frames.dataset.train_clips",
            **FRAMES_READING,
        ),
    shell:
        STAGE


rule frames_features:
    input:
        frames_files.dataset_files(FRAMES),
        backbones=FRAMES_BACKBONES,
    output:
        trn="results/frames/features/trn_{split}.h5",
        tsn="results/frames/features/tsn_{split}.h5",
        skipped="results/frames/features/skipped_{split}.csv",
    log:
        "results/logs/frames/features_{split}.log",
    priority: 1
    conda:
        ENVIRONMENT
    threads: 64
    resources:
        gpu=GPUS,
    params:
        needs(clips="frames.dataset.{split}_clips", **FRAMES_READING),
    shell:
        STAGE


# Copy features made elsewhere out of groups of their files.
if frames_files.are_grouped(FRAMES):

    rule frames_given:
        input:
            source=lambda w: frames_files.feature_source(FRAMES, w.model, w.split)[0],
        output:
            out="results/frames/features/given_{model}_{split}.h5",
        log:
            "results/logs/frames/given_{model}_{split}.log",
        conda:
            ENVIRONMENT
        params:
            needs(given="frames.features.{model}.{split}"),
        shell:
            STAGE


# Runs early, before anything is trained on too few videos. No stage depends on it, so a change of
# the tolerated share does not repeat any training. Given features were decoded elsewhere, so they
# have no such table.
if FRAMES.features.trn is None:

    rule frames_skipped:
        input:
            tables=expand(
                "results/frames/features/skipped_{split}.csv",
                split=frames_files.SPLITS,
            ),
            features=expand(
                "results/frames/features/trn_{split}.h5", split=frames_files.SPLITS
            ),
        output:
            out="results/frames/skipped.csv",
        log:
            "results/logs/frames/skipped.log",
        priority: 2
        conda:
            ENVIRONMENT
        params:
            needs(max_skipped="frames.dataset.max_skipped"),
        shell:
            STAGE


rule frames_priors:
    input:
        frames_files.class_files(FRAMES),
        features=frames_files.feature_file(FRAMES, "trn", "train"),
    output:
        out="results/frames/priors.json",
    log:
        "results/logs/frames/priors.log",
    conda:
        ENVIRONMENT
    params:
        needs(classes="frames.features.classes", **FRAMES_ROOT, **FRAMES_LABEL),
    shell:
        STAGE


rule frames_scales:
    input:
        features=frames_files.feature_file(FRAMES, "trn", "train"),
        priors="results/frames/priors.json",
    output:
        out="results/frames/scales/{scale}.pt",
    log:
        "results/logs/frames/scales_{scale}.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params=but("frames.scales", jobs="n_max"), **FRAMES_LABEL),
    shell:
        STAGE


rule frames_joint:
    input:
        features=frames_files.feature_file(FRAMES, "trn", "train"),
        priors="results/frames/priors.json",
    output:
        out="results/frames/joint.pt",
    log:
        "results/logs/frames/joint.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="frames.scales", **FRAMES_LABEL),
    shell:
        STAGE


rule frames_tsn:
    input:
        features=frames_files.feature_file(FRAMES, "tsn", "train"),
        priors="results/frames/priors.json",
    output:
        out="results/frames/tsn.pt",
    log:
        "results/logs/frames/tsn.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="frames.tsn", **FRAMES_LABEL),
    shell:
        STAGE


rule frames_accuracy:
    input:
        frames_files.videos_at_hand(FRAMES),
        **FRAMES_BOTH,
        trn_training=frames_files.feature_file(FRAMES, "trn", "train"),
        tsn_training=frames_files.feature_file(FRAMES, "tsn", "train"),
        joint="results/frames/joint.pt",
    output:
        out="results/frames/accuracy.json",
        curve="results/frames/accuracy.csv",
    log:
        "results/logs/frames/accuracy.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(
            params="frames.accuracy",
            score="frames.coalitions.score",
            **FRAMES_ROOT,
            **FRAMES_COUNTED,
        ),
    shell:
        STAGE


rule frames_values:
    input:
        receipt="results/frames/receipts/{model}.json",
    output:
        out="results/frames/values/{model}.h5",
        table="results/frames/values/{model}.csv",
    log:
        "results/logs/frames/values_{model}.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_figures:
    input:
        frames_files.videos_at_hand(FRAMES),
        values=FRAMES_VALUES,
        accuracy="results/frames/accuracy.json",
        priors="results/frames/priors.json",
    output:
        vectors("frames", *frames_files.FIGURES["figures"]),
        clips=reported(
            "frames",
            FRAMES_CLIPS,
            "Videos",
            patterns=["{clip}.png"],
            labels={"shows": "Video {clip}"},
        ),
        accuracy_figure=FRAMES_SHOWN["accuracy"],
        summary_figure=FRAMES_SHOWN["summary"],
        summary="results/frames/figures/summary.json",
    log:
        "results/logs/frames/figures.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="frames.figures", **FRAMES_ROOT),
    shell:
        STAGE


rule frames_gradients:
    input:
        features=lambda w: frames_files.feature_file(FRAMES, w.model, "validation"),
        train_features=lambda w: frames_files.feature_file(FRAMES, w.model, "train"),
        weights=lambda w: frames_files.model_weights(FRAMES, w.model),
        priors="results/frames/priors.json",
    output:
        out="results/frames/gradients/{model}.h5",
    log:
        "results/logs/frames/gradients_{model}.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="frames.gradients", game=FRAMES_PLAYED, **FRAMES_COUNTED),
    shell:
        STAGE


rule frames_discard:
    input:
        receipts=frames_files.receipts(),
        values=FRAMES_VALUES,
        gradients=FRAMES_GRADIENTS,
    output:
        out="results/frames/discard.json",
        curves="results/frames/discard.csv",
        areas="results/frames/discard_areas.csv",
    log:
        "results/logs/frames/discard.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="frames.discard"),
    shell:
        STAGE


rule frames_draw_discard:
    input:
        numbers="results/frames/discard.json",
        curves="results/frames/discard.csv",
    output:
        vectors("frames", *frames_files.FIGURES["discard"]),
        figures=reported("frames", frames_files.drawn("discard"), "Discarding frames"),
    log:
        "results/logs/frames/draw_discard.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_patterns:
    input:
        receipts=frames_files.receipts(),
        values=FRAMES_VALUES,
        priors="results/frames/priors.json",
    output:
        out="results/frames/patterns.json",
        contributions="results/frames/patterns/contributions.csv",
        positions="results/frames/patterns/positions.csv",
        pairs="results/frames/patterns/confusions.csv",
    log:
        "results/logs/frames/patterns.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="frames.patterns"),
    shell:
        STAGE


rule frames_draw_patterns:
    input:
        numbers="results/frames/patterns.json",
        priors="results/frames/priors.json",
    output:
        vectors("frames", *frames_files.FIGURES["patterns"]),
        figures=reported(
            "frames", frames_files.drawn("patterns"), "Patterns in the values"
        ),
    log:
        "results/logs/frames/draw_patterns.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_interactions:
    input:
        frames_files.videos_at_hand(FRAMES),
        receipts=frames_files.receipts(),
        values=FRAMES_VALUES,
        priors="results/frames/priors.json",
    output:
        vectors("frames", "interactions"),
        out="results/frames/interactions.json",
        table="results/frames/interactions.csv",
        figure=reported(
            "frames", frames_files.drawn("interactions")[0], "Patterns in the values"
        ),
    log:
        "results/logs/frames/interactions.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="frames.interactions", **FRAMES_ROOT),
    shell:
        STAGE


rule frames_localisation:
    input:
        frames_files.videos_at_hand(FRAMES),
        **FRAMES_BOTH,
        receipts=frames_files.receipts(),
        values=FRAMES_VALUES,
        gradients=FRAMES_GRADIENTS,
    output:
        vectors("frames", "localisation"),
        out="results/frames/localisation.json",
        table="results/frames/localisation.csv",
        figure=reported(
            "frames", frames_files.drawn("localisation")[0], "Patterns in the values"
        ),
    log:
        "results/logs/frames/localisation.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(
            params="frames.localisation",
            game=FRAMES_PLAYED,
            **FRAMES_ROOT,
            **FRAMES_COUNTED,
        ),
    shell:
        STAGE


rule frames_lengths:
    input:
        receipts=frames_files.receipts("_lengths"),
    output:
        out="results/frames/lengths.json",
        table="results/frames/lengths.csv",
    log:
        "results/logs/frames/lengths.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_draw_lengths:
    input:
        numbers="results/frames/lengths.json",
    output:
        vectors("frames", *frames_files.FIGURES["lengths"]),
        figures=reported(
            "frames", frames_files.drawn("lengths"), "Patterns in the values"
        ),
    log:
        "results/logs/frames/draw_lengths.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_shift:
    input:
        receipts=frames_files.receipts("_shift"),
    output:
        out="results/frames/shift.json",
        table="results/frames/shift.csv",
    log:
        "results/logs/frames/shift.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_draw_shift:
    input:
        numbers="results/frames/shift.json",
    output:
        vectors("frames", *frames_files.FIGURES["shift"]),
        figures=reported(
            "frames", frames_files.drawn("shift"), "Patterns in the values"
        ),
    log:
        "results/logs/frames/draw_shift.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_removal:
    input:
        receipts=frames_files.receipts("_removal"),
    output:
        vectors("frames", "removal"),
        out="results/frames/removal.json",
        table="results/frames/removal.csv",
        figure=reported(
            "frames", frames_files.drawn("removal")[0], "Patterns in the values"
        ),
    log:
        "results/logs/frames/removal.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_convergence:
    input:
        **FRAMES_BOTH,
        receipts=frames_files.receipts("_convergence"),
    output:
        out="results/frames/convergence.json",
        table="results/frames/convergence.csv",
        sampled="results/frames/receipts/tsn_sampled.json",
    log:
        "results/logs/frames/convergence.log",
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="frames.convergence", **FRAMES_SCORED),
    shell:
        STAGE


rule frames_draw_convergence:
    input:
        numbers="results/frames/convergence.json",
    output:
        vectors("frames", *frames_files.FIGURES["convergence"]),
        figures=reported(
            "frames", frames_files.drawn("convergence"), "Approximate values"
        ),
    log:
        "results/logs/frames/draw_convergence.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


# Uses all cores, so that no other job runs beside what is timed.
rule frames_runtime:
    input:
        **FRAMES_BOTH,
    output:
        out="results/frames/runtime.json",
        table="results/frames/runtime.csv",
        grid="results/frames/runtime_grid.csv",
    log:
        "results/logs/frames/runtime.log",
    conda:
        ENVIRONMENT
    threads: 64
    resources:
        gpu=GPUS,
    params:
        needs(params="frames.runtime", tried=FRAMES_TRIED, **FRAMES_TIMED),
    shell:
        STAGE


rule frames_claims:
    input:
        **{name: f"results/frames/{name}.json" for name in frames_files.JUDGED},
        summary="results/frames/figures/summary.json",
    output:
        out="results/frames/claims.json",
        table="results/frames/claims.csv",
        page=reported("frames", "results/frames/claims.html", CLAIMS),
        metrics="results/frames/metrics.json",
    log:
        "results/logs/frames/claims.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE
