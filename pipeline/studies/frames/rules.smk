FRAMES = PARAMS.frames


SPLITS = ["train", "validation"]


wildcard_constraints:
    model="trn|tsn",
    split="train|validation",
    scale=r"\d+",
    part=r"\d+",
    parts=r"\d+",


# Asked for file by file, so that one that was removed is made again even if all else is there; not
# what takes much room and is of no use once all is made.
rule frames_all:
    input:
        tracking.results(PARAMS, "frames"),


rule frames_videos:
    output:
        directory(house.RENDERED),
    log:
        "results/logs/frames/videos.log",
    conda:
        "environment.yaml"
    threads: 64
    params:
        version=version("frames", "videos"),
        spec=house.option(FRAMES.videos),
    shell:
        "python -m pipeline.studies.frames.videos --params {params.spec:q} --out {output:q}"
        " --threads {threads} --log {log:q}"


rule frames_backbone:
    input:
        dataset=house.dataset_files(FRAMES),
        weights=lambda wildcards: house.given_weights(FRAMES, wildcards.model),
    output:
        "results/frames/backbone/{model}.pt",
    log:
        "results/logs/frames/backbone_{model}.log",
    conda:
        "environment.yaml"
    # One thread: both backbones train side by side, to the same weights whatever the machine.
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "backbone"),
        root=lambda wildcards: house.dataset_root(FRAMES),
        spec=house.option(FRAMES.backbone),
        decoding=house.option(FRAMES.decoding),
        clips=house.limit_option(FRAMES.dataset.train_clips),
    shell:
        "python -m pipeline.studies.frames.backbone --model {wildcards.model} --root {params.root:q}"
        " --params {params.spec:q} --decoding {params.decoding:q} {params.clips}"
        " --device {resources.device} --out {output:q} --threads {threads} --log {log:q}"


rule frames_features:
    input:
        dataset=house.dataset_files(FRAMES),
        trn="results/frames/backbone/trn.pt",
        tsn="results/frames/backbone/tsn.pt",
    output:
        trn="results/frames/features/trn_{split}.h5",
        tsn="results/frames/features/tsn_{split}.h5",
        skipped="results/frames/features/skipped_{split}.csv",
    log:
        "results/logs/frames/features_{split}.log",
    priority: 1
    conda:
        "environment.yaml"
    threads: 64
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "features"),
        root=lambda wildcards: house.dataset_root(FRAMES),
        decoding=house.option(FRAMES.decoding),
        clips=lambda wildcards: house.limit_option(
            getattr(FRAMES.dataset, f"{wildcards.split}_clips")
        ),
    shell:
        "python -m pipeline.studies.frames.features --root {params.root:q} --split {wildcards.split}"
        " --trn-backbone {input.trn:q} --tsn-backbone {input.tsn:q}"
        " --decoding {params.decoding:q} {params.clips} --device {resources.device}"
        " --trn {output.trn:q} --tsn {output.tsn:q} --skipped {output.skipped:q}"
        " --threads {threads} --log {log:q}"


rule frames_skipped:
    input:
        tables=expand("results/frames/features/skipped_{split}.csv", split=SPLITS),
        features=expand("results/frames/features/trn_{split}.h5", split=SPLITS),
    output:
        "results/frames/skipped.csv",
    log:
        "results/logs/frames/skipped.log",
    # Before anything is trained on too few videos. Nothing depends on it: a tolerated share that
    # changes should train nothing anew.
    priority: 2
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "skipped"),
        most=FRAMES.dataset.max_skipped,
    shell:
        "python -m pipeline.studies.frames.skipped --tables {input.tables:q} --features {input.features:q}"
        " --max-skipped {params.most} --out {output:q} --threads {threads} --log {log:q}"


rule frames_priors:
    input:
        features=house.feature_file(FRAMES, "trn", "train"),
        classes=house.class_files(FRAMES),
    output:
        "results/frames/priors.json",
    log:
        "results/logs/frames/priors.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "priors"),
        classes=house.class_options(FRAMES),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.priors --features {input.features:q} {params.classes}"
        " {params.label} --out {output:q} --threads {threads} --log {log:q}"


rule frames_scales:
    input:
        features=house.feature_file(FRAMES, "trn", "train"),
        priors="results/frames/priors.json",
    output:
        "results/frames/scales/{scale}.pt",
    log:
        "results/logs/frames/scales_{scale}.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "scales"),
        spec=house.option(FRAMES.scales, without={"n_max"}),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.scales --features {input.features:q} --priors {input.priors:q}"
        " --scale {wildcards.scale} --params {params.spec:q} {params.label}"
        " --device {resources.device} --out {output:q} --threads {threads} --log {log:q}"


rule frames_tsn:
    input:
        features=house.feature_file(FRAMES, "tsn", "train"),
        priors="results/frames/priors.json",
    output:
        "results/frames/tsn.pt",
    log:
        "results/logs/frames/tsn.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "tsn"),
        spec=house.option(FRAMES.tsn),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.tsn --features {input.features:q} --priors {input.priors:q}"
        " --params {params.spec:q} {params.label} --device {resources.device} --out {output:q}"
        " --threads {threads} --log {log:q}"


rule frames_accuracy:
    input:
        trn=house.feature_file(FRAMES, "trn", "validation"),
        tsn=house.feature_file(FRAMES, "tsn", "validation"),
        scales=house.model_weights(FRAMES, "trn"),
        classifier=house.model_weights(FRAMES, "tsn"),
        priors="results/frames/priors.json",
        dataset=house.dataset_files(FRAMES) if house.has_videos(FRAMES) else [],
    output:
        numbers="results/frames/accuracy.json",
        curve="results/frames/accuracy.csv",
    log:
        "results/logs/frames/accuracy.log",
    conda:
        "environment.yaml"
    threads: 2
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "accuracy"),
        spec=house.option(FRAMES.accuracy),
        label=house.label_option(FRAMES),
        root=house.root_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.accuracy --trn-features {input.trn:q}"
        " --tsn-features {input.tsn:q} --scales {input.scales:q} --tsn {input.classifier:q}"
        " --priors {input.priors:q} --params {params.spec:q} {params.label} {params.root}"
        " --device {resources.device} --out {output.numbers:q} --curve {output.curve:q}"
        " --threads {threads} --log {log:q}"


# The store itself is no output: Snakemake would delete it before each run, and with it the values
# that the run could reuse. What vouches for it is the receipt.
rule frames_game:
    input:
        features=lambda wildcards: house.feature_file(
            FRAMES, wildcards.model, "validation"
        ),
        weights=lambda wildcards: house.model_weights(FRAMES, wildcards.model),
        priors="results/frames/priors.json",
    output:
        temp("results/frames/game/{model}.json"),
    log:
        "results/logs/frames/game_{model}.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "coalitions"),
        spec=house.option(FRAMES.coalitions),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.game --model {wildcards.model}"
        " --features {input.features:q} --weights {input.weights:q} --priors {input.priors:q}"
        " --params {params.spec:q} {params.label} --device {resources.device}"
        " --store results/coalitions/frames/{wildcards.model}.zarr --out {output:q}"
        " --threads {threads} --log {log:q}"


rule frames_coalitions:
    input:
        game="results/frames/game/{model}.json",
        features=lambda wildcards: house.feature_file(
            FRAMES, wildcards.model, "validation"
        ),
        weights=lambda wildcards: house.model_weights(FRAMES, wildcards.model),
        priors="results/frames/priors.json",
    output:
        temp("results/frames/coalitions/{model}/{part}_of_{parts}.json"),
    log:
        "results/logs/frames/coalitions_{model}_{part}_of_{parts}.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "coalitions"),
        spec=house.option(FRAMES.coalitions),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.coalitions --model {wildcards.model}"
        " --features {input.features:q} --weights {input.weights:q} --priors {input.priors:q}"
        " --params {params.spec:q} {params.label} --device {resources.device}"
        " --partition {wildcards.part} --partitions {wildcards.parts}"
        " --store results/coalitions/frames/{wildcards.model}.zarr --out {output:q}"
        " --threads {threads} --log {log:q}"


# What the partitions' receipts depend on is named here again: they are removed when they have been
# merged, and with them the record of what they depended on.
rule frames_receipts:
    input:
        parts=lambda wildcards: house.partition_receipts(
            PARAMS, "frames", wildcards.model
        ),
        features=lambda wildcards: house.feature_file(
            FRAMES, wildcards.model, "validation"
        ),
        weights=lambda wildcards: house.model_weights(FRAMES, wildcards.model),
        priors="results/frames/priors.json",
    output:
        "results/frames/receipts/{model}.json",
    log:
        "results/logs/frames/receipts_{model}.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "coalitions"),
        spec=house.option(FRAMES.coalitions),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.receipts --parts {input.parts:q} --out {output:q}"
        " --threads {threads} --log {log:q}"


rule frames_values:
    input:
        receipt="results/frames/receipts/{model}.json",
        features=lambda wildcards: house.feature_file(
            FRAMES, wildcards.model, "validation"
        ),
    output:
        values="results/frames/values/{model}.h5",
        table="results/frames/values/{model}.csv",
    log:
        "results/logs/frames/values_{model}.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "values"),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.values --receipt {input.receipt:q} --features {input.features:q}"
        " {params.label} --out {output.values:q} --table {output.table:q}"
        " --threads {threads} --log {log:q}"


rule frames_figures:
    input:
        trn="results/frames/values/trn.h5",
        tsn="results/frames/values/tsn.h5",
        accuracy="results/frames/accuracy.json",
        priors="results/frames/priors.json",
        dataset=house.dataset_files(FRAMES) if house.has_videos(FRAMES) else [],
    output:
        clips=report(
            directory("results/frames/figures/clips"),
            patterns=["{clip}.png"],
            caption="report/clips.rst",
            category="Frames",
            subcategory="Videos",
        ),
        accuracy=report(
            "results/frames/figures/accuracy.png",
            caption="report/accuracy.rst",
            category="Frames",
        ),
        summary=report(
            "results/frames/figures/summary.png",
            caption="report/summary.rst",
            category="Frames",
        ),
        vectors=expand(
            "results/frames/figures/{figure}.svg", figure=["accuracy", "summary"]
        ),
        numbers="results/frames/figures/summary.json",
    log:
        "results/logs/frames/figures.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "figures"),
        spec=house.option(FRAMES.figures),
        root=house.root_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.figures_stage --trn {input.trn:q} --tsn {input.tsn:q}"
        " --accuracy {input.accuracy:q} --priors {input.priors:q} {params.root}"
        " --params {params.spec:q} --clips {output.clips:q}"
        " --accuracy-figure {output.accuracy:q} --summary-figure {output.summary:q}"
        " --summary {output.numbers:q}"
        " --threads {threads} --log {log:q}"


rule frames_gradients:
    input:
        features=lambda wildcards: house.feature_file(
            FRAMES, wildcards.model, "validation"
        ),
        train=lambda wildcards: house.feature_file(FRAMES, wildcards.model, "train"),
        weights=lambda wildcards: house.model_weights(FRAMES, wildcards.model),
        priors="results/frames/priors.json",
    output:
        "results/frames/gradients/{model}.h5",
    log:
        "results/logs/frames/gradients_{model}.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "gradients"),
        spec=house.option(FRAMES.gradients),
        game=house.option(FRAMES.coalitions, without={"outputs"}),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.gradients --model {wildcards.model}"
        " --features {input.features:q} --train-features {input.train:q}"
        " --weights {input.weights:q} --priors {input.priors:q} --game {params.game:q}"
        " --params {params.spec:q} {params.label} --device {resources.device} --out {output:q}"
        " --threads {threads} --log {log:q}"


rule frames_discarded:
    input:
        receipts=expand("results/frames/receipts/{model}.json", model=["trn", "tsn"]),
        values=expand("results/frames/values/{model}.h5", model=["trn", "tsn"]),
        gradients=expand("results/frames/gradients/{model}.h5", model=["trn", "tsn"]),
    output:
        numbers="results/frames/discarded.json",
        curves="results/frames/discarded.csv",
        areas="results/frames/discarded_areas.csv",
        figures=report(
            house.figures(
                "discarded_attribution", "discarded_plain", "discarded_methods"
            ),
            caption="report/discarded.rst",
            category="Frames",
        ),
        vectors=house.figures(
            "discarded_attribution",
            "discarded_plain",
            "discarded_methods",
            kind="svg",
        ),
    log:
        "results/logs/frames/discarded.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "discarded"),
        spec=house.option(FRAMES.discarded),
    shell:
        "python -m pipeline.studies.frames.discard_stage --receipts {input.receipts:q}"
        " --values {input.values:q} --gradients {input.gradients:q} --params {params.spec:q}"
        " --out {output.numbers:q} --table {output.curves:q} --areas {output.areas:q}"
        " --figures results/frames/figures --threads {threads} --log {log:q}"


rule frames_patterns:
    input:
        receipts=expand("results/frames/receipts/{model}.json", model=["trn", "tsn"]),
        values=expand("results/frames/values/{model}.h5", model=["trn", "tsn"]),
        priors="results/frames/priors.json",
    output:
        numbers="results/frames/patterns.json",
        tables=expand(
            "results/frames/patterns/{table}.csv",
            table=["contributions", "positions", "confusions"],
        ),
        figures=report(
            house.figures("contributions", "most_alike", "least_alike", "confusions"),
            caption="report/patterns.rst",
            category="Frames",
        ),
        vectors=house.figures(
            "contributions", "most_alike", "least_alike", "confusions", kind="svg"
        ),
    log:
        "results/logs/frames/patterns.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "patterns"),
        spec=house.option(FRAMES.patterns),
    shell:
        "python -m pipeline.studies.frames.patterns --receipts {input.receipts:q}"
        " --values {input.values:q} --priors {input.priors:q} --params {params.spec:q}"
        " --out {output.numbers:q} --tables results/frames/patterns"
        " --figures results/frames/figures --threads {threads} --log {log:q}"


# As with the games above, the stores of this rule and the next two are no outputs.
rule frames_lengths:
    input:
        trn=house.feature_file(FRAMES, "trn", "validation"),
        tsn=house.feature_file(FRAMES, "tsn", "validation"),
        scales=house.model_weights(FRAMES, "trn"),
        classifier=house.model_weights(FRAMES, "tsn"),
        priors="results/frames/priors.json",
    output:
        numbers="results/frames/lengths.json",
        table="results/frames/lengths.csv",
        receipts=expand(
            "results/frames/receipts/{model}_lengths.json", model=["trn", "tsn"]
        ),
        figure=report(
            "results/frames/figures/supporting.png",
            caption="report/supporting.rst",
            category="Frames",
        ),
        vector="results/frames/figures/supporting.svg",
    log:
        "results/logs/frames/lengths.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=[
            version("frames", name)
            for name in ["lengths", "lengths_games", "coalitions"]
        ],
        spec=house.option(FRAMES.lengths),
        score=FRAMES.coalitions.score,
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.lengths"
        " --trn-features {input.trn:q}"
        " --tsn-features {input.tsn:q} --scales {input.scales:q} --tsn {input.classifier:q}"
        " --priors {input.priors:q} {params.label} --device {resources.device}"
        " --params {params.spec:q} --score {params.score} --stores results/coalitions/frames"
        " --receipts results/frames/receipts --out {output.numbers:q}"
        " --table {output.table:q} --figure {output.figure:q} --threads {threads} --log {log:q}"


rule frames_shifted:
    input:
        trn=house.feature_file(FRAMES, "trn", "validation"),
        tsn=house.feature_file(FRAMES, "tsn", "validation"),
        scales=house.model_weights(FRAMES, "trn"),
        classifier=house.model_weights(FRAMES, "tsn"),
        priors="results/frames/priors.json",
    output:
        numbers="results/frames/shifted.json",
        table="results/frames/shifted.csv",
        receipts=expand(
            "results/frames/receipts/{model}_shifted.json", model=["trn", "tsn"]
        ),
        figure=report(
            "results/frames/figures/shifted.png",
            caption="report/shifted.rst",
            category="Frames",
        ),
        vector="results/frames/figures/shifted.svg",
    log:
        "results/logs/frames/shifted.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=[
            version("frames", name)
            for name in ["shifted", "shifted_games", "coalitions"]
        ],
        spec=house.option(FRAMES.shifted),
        n=FRAMES.coalitions.n,
        score=FRAMES.coalitions.score,
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.shift_stage"
        " --trn-features {input.trn:q}"
        " --tsn-features {input.tsn:q} --scales {input.scales:q} --tsn {input.classifier:q}"
        " --priors {input.priors:q} {params.label} --device {resources.device}"
        " --params {params.spec:q} --n {params.n} --score {params.score}"
        " --stores results/coalitions/frames"
        " --receipts results/frames/receipts --out {output.numbers:q} --table {output.table:q} --figure {output.figure:q}"
        " --threads {threads} --log {log:q}"


rule frames_convergence:
    input:
        trn=house.feature_file(FRAMES, "trn", "validation"),
        tsn=house.feature_file(FRAMES, "tsn", "validation"),
        scales=house.model_weights(FRAMES, "trn"),
        classifier=house.model_weights(FRAMES, "tsn"),
        priors="results/frames/priors.json",
    output:
        numbers="results/frames/convergence.json",
        table="results/frames/convergence.csv",
        receipts=expand(
            "results/frames/receipts/{game}.json",
            game=["trn_convergence", "tsn_convergence", "tsn_sampled"],
        ),
        figures=report(
            house.figures(
                "algorithm_1_trn",
                "algorithm_1_tsn",
                "estimators_trn",
                "estimators_tsn",
            ),
            caption="report/convergence.rst",
            category="Frames",
        ),
        vectors=house.figures(
            "algorithm_1_trn",
            "algorithm_1_tsn",
            "estimators_trn",
            "estimators_tsn",
            kind="svg",
        ),
    log:
        "results/logs/frames/convergence.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=[
            version("frames", name)
            for name in ["convergence", "convergence_games", "coalitions"]
        ],
        spec=house.option(FRAMES.convergence),
        score=FRAMES.coalitions.score,
        short_videos=FRAMES.coalitions.short_videos,
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.convergence"
        " --trn-features {input.trn:q}"
        " --tsn-features {input.tsn:q} --scales {input.scales:q} --tsn {input.classifier:q}"
        " --priors {input.priors:q} {params.label} --device {resources.device}"
        " --params {params.spec:q} --score {params.score} --short-videos {params.short_videos}"
        " --stores results/coalitions/frames --receipts results/frames/receipts"
        " --out {output.numbers:q} --table {output.table:q} --figures results/frames/figures"
        " --threads {threads} --log {log:q}"


# On all cores, so that no other job runs beside what is timed.
rule frames_runtime:
    input:
        trn=house.feature_file(FRAMES, "trn", "validation"),
        tsn=house.feature_file(FRAMES, "tsn", "validation"),
        scales=house.model_weights(FRAMES, "trn"),
        classifier=house.model_weights(FRAMES, "tsn"),
        priors="results/frames/priors.json",
    output:
        numbers="results/frames/runtime.json",
        table="results/frames/runtime.csv",
        grid="results/frames/runtime_grid.csv",
    log:
        "results/logs/frames/runtime.log",
    conda:
        "environment.yaml"
    threads: 64
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("frames", "runtime"),
        spec=house.option(FRAMES.runtime),
        device=house.device(PARAMS),
        tried=house.option(
            FRAMES.convergence, without={"clips", "repeats", "budgets", "seed"}
        ),
        label=house.label_option(FRAMES),
    shell:
        "python -m pipeline.studies.frames.runtime"
        " --trn-features {input.trn:q}"
        " --tsn-features {input.tsn:q} --scales {input.scales:q} --tsn {input.classifier:q}"
        " --priors {input.priors:q} {params.label} --device {resources.device}"
        " --params {params.spec:q} --tried {params.tried:q} --out {output.numbers:q}"
        " --table {output.table:q} --grid {output.grid:q}"
        " --threads {threads} --log {log:q}"


rule frames_claims:
    input:
        accuracy="results/frames/accuracy.json",
        discarded="results/frames/discarded.json",
        patterns="results/frames/patterns.json",
        lengths="results/frames/lengths.json",
        shifted="results/frames/shifted.json",
        convergence="results/frames/convergence.json",
        runtime="results/frames/runtime.json",
    output:
        numbers="results/frames/claims.json",
        table=report(
            "results/frames/claims.csv",
            caption="report/claims.rst",
            category="Frames",
        ),
    log:
        "results/logs/frames/claims.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("frames", "claims"),
    shell:
        "python -m pipeline.studies.frames.claims --accuracy {input.accuracy:q}"
        " --discarded {input.discarded:q} --patterns {input.patterns:q}"
        " --lengths {input.lengths:q} --shifted {input.shifted:q}"
        " --convergence {input.convergence:q} --runtime {input.runtime:q}"
        " --out {output.numbers:q} --table {output.table:q} --threads {threads} --log {log:q}"
