# The TRN and the TSN, from videos or from given features.


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


if "trn" in FRAMES_MODELS:

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


if "tsn" in FRAMES_MODELS:

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
