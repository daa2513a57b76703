from pipeline.studies.baselines import paths as baselines_files

BASELINES = PARAMS.baselines
BASELINES_PICTURES = baselines_files.picture_files(BASELINES)
BASELINES_NETWORKS = baselines_files.all_surrogates(BASELINES)
BASELINES_TABLES = expand(
    "results/baselines/receipts/{utility}.json", utility=baselines_files.UTILITIES
)
BASELINES_ATTRIBUTIONS = expand(
    "results/baselines/attributions/{pictured}.h5", pictured=baselines_files.PICTURED
)
BASELINES_GAME = {
    "coalitions": "baselines.coalitions",
    "pictures": "baselines.pictures",
}
BASELINES_DRAWN = (
    "pictures_classifier",
    "pictures_distance_positive",
    "pictures_distance_negative",
)
BASELINES_PICTURED = expand(
    "results/baselines/receipts/{pictured}.json", pictured=baselines_files.PICTURED
)


wildcard_constraints:
    utility="|".join(baselines_files.UTILITIES),
    pictured="|".join(baselines_files.PICTURED),


rule baselines_surrogates:
    output:
        out=expand(
            "results/baselines/surrogates/{{utility}}/{repeat}.pt",
            repeat=baselines_files.repeats(BASELINES),
        ),
    log:
        "results/logs/baselines/surrogates_{utility}.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="baselines.surrogates"),
    shell:
        STAGE


rule baselines_ratios:
    input:
        receipts=BASELINES_TABLES,
        checkpoints=BASELINES_NETWORKS,
    output:
        out="results/baselines/ratios.json",
        table="results/baselines/ratios.csv",
        values="results/baselines/ratios_values.csv",
        counts="results/baselines/ratios_counts.csv",
    log:
        "results/logs/baselines/ratios.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="baselines.ratios", **baselines_files.COUNTED),
    shell:
        STAGE


rule baselines_draw_ratios:
    input:
        numbers="results/baselines/ratios.json",
    output:
        vectors("baselines", "ratios", "ratios_error"),
        figures=reported(
            "baselines",
            drawn("baselines", "ratios", "ratios_error"),
            "Utility functions",
        ),
    log:
        "results/logs/baselines/draw_ratios.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule baselines_replace:
    input:
        receipts=BASELINES_TABLES,
        checkpoints=BASELINES_NETWORKS,
    output:
        out="results/baselines/replace.json",
        table="results/baselines/replace.csv",
        values="results/baselines/replace_values.csv",
        connections="results/baselines/replace_connections.csv",
    log:
        "results/logs/baselines/replace.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="baselines.replace", **baselines_files.COUNTED),
    shell:
        STAGE


rule baselines_draw_replace:
    input:
        numbers="results/baselines/replace.json",
    output:
        vectors("baselines", "surrogates", "connected"),
        figures=reported(
            "baselines",
            drawn("baselines", "surrogates", "connected"),
            "Utility functions",
        ),
    log:
        "results/logs/baselines/draw_replace.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule baselines_proportions:
    input:
        receipts=BASELINES_TABLES,
    output:
        out="results/baselines/proportions.json",
        table="results/baselines/proportions.csv",
    log:
        "results/logs/baselines/proportions.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="baselines.proportions"),
    shell:
        STAGE


rule baselines_draw_proportions:
    input:
        numbers="results/baselines/proportions.json",
    output:
        vectors("baselines", "proportions"),
        figures=reported(
            "baselines", drawn("baselines", "proportions"), "Utility functions"
        ),
    log:
        "results/logs/baselines/draw_proportions.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


# Networks do not depend on the size of areas.
rule baselines_classifier:
    input:
        BASELINES_PICTURES,
        baselines_files.given_network(BASELINES.classifier),
    output:
        out="results/baselines/classifier.pt",
        numbers="results/baselines/classifier.json",
    log:
        "results/logs/baselines/classifier.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="baselines.classifier", pictures=but("baselines.pictures", "area")),
    shell:
        STAGE


rule baselines_embedding:
    input:
        BASELINES_PICTURES,
        baselines_files.given_network(BASELINES.embedding),
    output:
        out="results/baselines/embedding.pt",
        numbers="results/baselines/embedding.json",
    log:
        "results/logs/baselines/embedding.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="baselines.embedding", pictures=but("baselines.pictures", "area")),
    shell:
        STAGE


rule baselines_attributions:
    input:
        BASELINES_PICTURES,
        receipt="results/baselines/receipts/{pictured}.json",
        weights=lambda w: baselines_files.pictured_weights(w.pictured),
    output:
        out="results/baselines/attributions/{pictured}.h5",
    log:
        "results/logs/baselines/attributions_{pictured}.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="baselines.attributions", **BASELINES_GAME),
    shell:
        STAGE


rule baselines_agreement:
    input:
        attributions=BASELINES_ATTRIBUTIONS,
        receipts=BASELINES_PICTURED,
    output:
        out="results/baselines/agreement.json",
        table="results/baselines/agreement.csv",
        pictures="results/baselines/agreement_pictures.csv",
    log:
        "results/logs/baselines/agreement.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="baselines.agreement"),
    shell:
        STAGE


rule baselines_draw_agreement:
    input:
        numbers="results/baselines/agreement.json",
    output:
        vectors("baselines", "agreement", "insertion"),
        figures=reported(
            "baselines", drawn("baselines", "agreement", "insertion"), "Pictures"
        ),
    log:
        "results/logs/baselines/draw_agreement.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule baselines_figures:
    input:
        attributions=BASELINES_ATTRIBUTIONS,
    output:
        vectors("baselines", *BASELINES_DRAWN),
        figures=reported("baselines", drawn("baselines", *BASELINES_DRAWN), "Pictures"),
        out="results/baselines/figures.json",
    log:
        "results/logs/baselines/figures.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="baselines.figures"),
    shell:
        STAGE


BASELINES_TIMED = needs(
    params="baselines.runtime",
    timed_on=given(DEVICE_USED, "device"),
    attributions="baselines.attributions",
    **BASELINES_GAME,
)


# Uses all cores, so that no other job runs beside what is timed.
rule baselines_runtime:
    input:
        BASELINES_PICTURES,
        classifier="results/baselines/classifier.pt",
        embedding="results/baselines/embedding.pt",
    output:
        out="results/baselines/runtime.json",
        table="results/baselines/runtime.csv",
    log:
        "results/logs/baselines/runtime.log",
    conda:
        ENVIRONMENT
    threads: 64
    resources:
        gpu=GPUS,
    params:
        BASELINES_TIMED,
    shell:
        STAGE


rule baselines_claims:
    input:
        ratios="results/baselines/ratios.json",
        replace="results/baselines/replace.json",
        proportions="results/baselines/proportions.json",
        agreement="results/baselines/agreement.json",
        runtime="results/baselines/runtime.json",
    output:
        out="results/baselines/claims.json",
        table="results/baselines/claims.csv",
        page=reported("baselines", "results/baselines/claims.html", CLAIMS),
        metrics="results/baselines/metrics.json",
    log:
        "results/logs/baselines/claims.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE
