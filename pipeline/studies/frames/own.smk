# For a model of the user's, in place of training.
rule frames_clips:
    input:
        frames_files.dataset_files(FRAMES),
        frames_files.model_files(FRAMES),
    output:
        out="results/frames/clips.json",
        skipped="results/frames/skipped.csv",
    log:
        "results/logs/frames/clips.log",
    priority: 1
    conda:
        ENVIRONMENT
    threads: 64
    resources:
        gpu=GPUS,
    params:
        needs(
            model="frames.model",
            own_model="frames.own_model",
            game=but("frames.coalitions", "outputs"),
            dataset="frames.dataset",
            **FRAMES_ROOT,
        ),
    shell:
        STAGE
