# What compares the TRN with the TSN.
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


rule frames_patterns:
    input:
        receipts=frames_files.receipts(FRAMES),
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


rule frames_localisation:
    input:
        frames_files.videos_at_hand(FRAMES),
        **FRAMES_BOTH,
        **FRAMES_GRADIENTS,
        receipts=frames_files.receipts(FRAMES),
        values=FRAMES_VALUES,
    output:
        vectors("frames", "localisation"),
        out="results/frames/localisation.json",
        table="results/frames/localisation.csv",
        attributions="results/frames/attributions.h5",
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
        receipts=frames_files.receipts(FRAMES, "_lengths"),
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
        receipts=frames_files.receipts(FRAMES, "_shift"),
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
        receipts=frames_files.receipts(FRAMES, "_removal"),
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
        receipts=frames_files.receipts(FRAMES, "_convergence"),
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
