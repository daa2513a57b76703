from pipeline.studies.frames import paths as frames_files

FRAMES = PARAMS.frames
FRAMES_BOTH = frames_files.both_models(FRAMES)
FRAMES_LABEL = frames_files.label_need(FRAMES)
FRAMES_ROOT = frames_files.root_need(FRAMES)
FRAMES_MODELS = frames_files.MODELS


wildcard_constraints:
    model="trn|tsn",
    split="train|validation",
    scale=r"\d+",


rule frames_videos:
    output:
        out=directory(frames_files.RENDERED),
    log:
        "results/logs/frames/videos.log",
    conda:
        ENVIRONMENT
    threads: 64
    params:
        needs(params="frames.videos"),
    shell:
        STAGE


rule frames_backbone:
    input:
        frames_files.dataset_files(FRAMES),
        lambda wildcards: frames_files.given_weights(FRAMES, wildcards.model),
    output:
        out="results/frames/backbone/{model}.pt",
    log:
        "results/logs/frames/backbone_{model}.log",
    conda:
        ENVIRONMENT
    # One thread: both backbones train side by side, to the same weights whatever the machine.
    resources:
        gpu=GPUS,
    params:
        needs(
            params="frames.backbone",
            decoding="frames.decoding",
            clips="frames.dataset.train_clips",
            **FRAMES_ROOT,
        ),
    shell:
        STAGE


rule frames_features:
    input:
        frames_files.dataset_files(FRAMES),
        trn_backbone="results/frames/backbone/trn.pt",
        tsn_backbone="results/frames/backbone/tsn.pt",
    output:
        trn="results/frames/features/trn_{split}.h5",
        tsn="results/frames/features/tsn_{split}.h5",
        skipped="results/frames/features/skipped_{split}.csv",
    log:
        "results/logs/frames/features_{split}.log",
    conda:
        ENVIRONMENT
    priority: 1
    threads: 64
    resources:
        gpu=GPUS,
    params:
        needs(
            decoding="frames.decoding",
            clips="frames.dataset.{split}_clips",
            **FRAMES_ROOT,
        ),
    shell:
        STAGE


# Early, before anything is trained on too few videos. No stage depends on it: a change of the
# tolerated share trains nothing again.
rule frames_skipped:
    input:
        tables=expand(
            "results/frames/features/skipped_{split}.csv", split=frames_files.SPLITS
        ),
        features=expand(
            "results/frames/features/trn_{split}.h5", split=frames_files.SPLITS
        ),
    output:
        out="results/frames/skipped.csv",
    log:
        "results/logs/frames/skipped.log",
    conda:
        ENVIRONMENT
    priority: 2
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
        needs(params=but("frames.scales", "n_max"), **FRAMES_LABEL),
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
    output:
        out="results/frames/accuracy.json",
        curve="results/frames/accuracy.csv",
    log:
        "results/logs/frames/accuracy.log",
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        gpu=GPUS,
    params:
        needs(params="frames.accuracy", **FRAMES_ROOT, **FRAMES_LABEL),
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
        trn="results/frames/values/trn.h5",
        tsn="results/frames/values/tsn.h5",
        accuracy="results/frames/accuracy.json",
        priors="results/frames/priors.json",
    output:
        vectors("frames", "accuracy", "summary"),
        clips=report(directory("results/frames/figures/clips"), patterns=["{clip}.png"], caption="captions/clips.rst", category="Frames", subcategory="Videos"),
        accuracy_figure=report("results/frames/figures/accuracy.png", caption="captions/accuracy.rst", category="Frames"),
        summary_figure=report("results/frames/figures/summary.png", caption="captions/summary.rst", category="Frames"),
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
        needs(params="frames.gradients", game=but("frames.coalitions", "outputs"), **FRAMES_LABEL),
    shell:
        STAGE


rule frames_discard:
    input:
        receipts=expand("results/frames/receipts/{model}.json", model=FRAMES_MODELS),
        values=expand("results/frames/values/{model}.h5", model=FRAMES_MODELS),
        gradients=expand("results/frames/gradients/{model}.h5", model=FRAMES_MODELS),
    output:
        out="results/frames/discard.json",
        table="results/frames/discard.csv",
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
        vectors("frames", "discard_attribution", "discard_plain", "discard_methods"),
        figures=report(drawn("frames", "discard_attribution", "discard_plain", "discard_methods"), caption="captions/discard.rst", category="Frames"),
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
        receipts=expand("results/frames/receipts/{model}.json", model=FRAMES_MODELS),
        values=expand("results/frames/values/{model}.h5", model=FRAMES_MODELS),
        priors="results/frames/priors.json",
    output:
        out="results/frames/patterns.json",
        contributions="results/frames/patterns/contributions.csv",
        positions="results/frames/patterns/positions.csv",
        confusions="results/frames/patterns/confusions.csv",
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
        vectors("frames", "contributions", "most_alike", "least_alike", "confusions"),
        figures=report(drawn("frames", "contributions", "most_alike", "least_alike", "confusions"), caption="captions/patterns.rst", category="Frames"),
    log:
        "results/logs/frames/draw_patterns.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_lengths:
    input:
        receipts=expand("results/frames/receipts/{model}_lengths.json", model=FRAMES_MODELS),
    output:
        out="results/frames/lengths.json",
        table="results/frames/lengths.csv",
    log:
        "results/logs/frames/lengths.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="frames.lengths"),
    shell:
        STAGE


rule frames_draw_lengths:
    input:
        numbers="results/frames/lengths.json",
    output:
        vectors("frames", "lengths"),
        figures=report(drawn("frames", "lengths"), caption="captions/lengths.rst", category="Frames"),
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
        receipts=expand("results/frames/receipts/{model}_shift.json", model=FRAMES_MODELS),
    output:
        out="results/frames/shift.json",
        table="results/frames/shift.csv",
    log:
        "results/logs/frames/shift.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="frames.shift"),
    shell:
        STAGE


rule frames_draw_shift:
    input:
        numbers="results/frames/shift.json",
    output:
        vectors("frames", "shift"),
        figures=report(drawn("frames", "shift"), caption="captions/shift.rst", category="Frames"),
    log:
        "results/logs/frames/draw_shift.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_convergence:
    input:
        receipts=expand("results/frames/receipts/{model}_convergence.json", model=FRAMES_MODELS),
        **FRAMES_BOTH,
    output:
        out="results/frames/convergence.json",
        table="results/frames/convergence.csv",
        sampled="results/frames/receipts/tsn_sampled.json",
    log:
        "results/logs/frames/convergence.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="frames.convergence", score="frames.coalitions.score", short_videos="frames.coalitions.short_videos", **FRAMES_LABEL),
    shell:
        STAGE


rule frames_draw_convergence:
    input:
        numbers="results/frames/convergence.json",
    output:
        vectors("frames", "algorithm_1_trn", "algorithm_1_tsn", "estimators_trn", "estimators_tsn"),
        figures=report(drawn("frames", "algorithm_1_trn", "algorithm_1_tsn", "estimators_trn", "estimators_tsn"), caption="captions/convergence.rst", category="Frames"),
    log:
        "results/logs/frames/draw_convergence.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


# On all cores, so that no other job runs beside what is timed.
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
        needs(params="frames.runtime", tried=but("frames.convergence", "clips", "repeats", "budgets", "seed"), timed_on=given(DEVICE_USED, "device"), **FRAMES_LABEL),
    shell:
        STAGE


rule frames_claims:
    input:
        accuracy="results/frames/accuracy.json",
        discard="results/frames/discard.json",
        patterns="results/frames/patterns.json",
        lengths="results/frames/lengths.json",
        shift="results/frames/shift.json",
        convergence="results/frames/convergence.json",
        runtime="results/frames/runtime.json",
    output:
        out="results/frames/claims.json",
        table=report("results/frames/claims.csv", caption="captions/claims.rst", category="Frames"),
    log:
        "results/logs/frames/claims.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE
