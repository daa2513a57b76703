from pipeline.studies.frames import paths as frames_files

FRAMES = PARAMS.frames
FRAMES_MODELS = frames_files.models(FRAMES)
FRAMES_COMPARED = frames_files.compares(FRAMES)
FRAMES_OWN = frames_files.is_own(FRAMES)
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
FRAMES_DRAWN = frames_files.figures(FRAMES)
FRAMES_SHOWN = {
    f"{name}_figure": reported(
        "frames", f"results/frames/figures/{name}.png", "Models, values"
    )
    for name in FRAMES_DRAWN["figures"]
}
FRAMES_ACCURACY = (
    {"accuracy": "results/frames/accuracy.json"} if FRAMES_COMPARED else {}
)
FRAMES_CLASSES = (
    "results/frames/clips.json" if FRAMES_OWN else "results/frames/priors.json"
)
FRAMES_VALUES = [f"results/frames/values/{model}.h5" for model in FRAMES_MODELS]
FRAMES_GRADIENTS = (
    {}
    if FRAMES_OWN
    else {"gradients": [f"results/frames/gradients/{m}.h5" for m in FRAMES_MODELS]}
)


wildcard_constraints:
    model="|".join({*frames_files.MODELS, *FRAMES_MODELS}),
    split="train|validation",
    scale=r"\d+",


include: "own.smk" if FRAMES_OWN else "trained.smk"


if FRAMES_COMPARED:

    include: "compared.smk"


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
        **FRAMES_ACCURACY,
        values=FRAMES_VALUES,
        classes=FRAMES_CLASSES,
    output:
        vectors("frames", *FRAMES_DRAWN["figures"]),
        **FRAMES_SHOWN,
        clips=reported(
            "frames",
            FRAMES_CLIPS,
            "Videos",
            patterns=["{clip}.png"],
            labels={"shows": "Video {clip}"},
        ),
        summary="results/frames/figures/summary.json",
    log:
        "results/logs/frames/figures.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="frames.figures", **FRAMES_ROOT),
    shell:
        STAGE


rule frames_discard:
    input:
        **FRAMES_GRADIENTS,
        receipts=frames_files.receipts(FRAMES),
        values=FRAMES_VALUES,
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
        vectors("frames", *FRAMES_DRAWN["discard"]),
        figures=reported(
            "frames", drawn("frames", *FRAMES_DRAWN["discard"]), "Discarding frames"
        ),
    log:
        "results/logs/frames/draw_discard.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule frames_interactions:
    input:
        frames_files.videos_at_hand(FRAMES),
        receipts=frames_files.receipts(FRAMES),
        values=FRAMES_VALUES,
        classes=FRAMES_CLASSES,
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
