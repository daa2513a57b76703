from pipeline.studies.baselines import paths as baselines_files

BASELINES = PARAMS.baselines
BASELINES_PICTURES = baselines_files.picture_files(BASELINES)
BASELINES_NETWORKS = baselines_files.all_surrogates(BASELINES)


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
        receipts=expand("results/baselines/receipts/{utility}.json", utility=baselines_files.UTILITIES),
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
        needs(params="baselines.ratios"),
    shell:
        STAGE


rule baselines_draw_ratios:
    input:
        table="results/baselines/ratios.csv",
        values="results/baselines/ratios_values.csv",
    output:
        vectors("baselines", "ratios", "ratios_error"),
        figures=report(drawn("baselines", "ratios", "ratios_error"), caption="captions/ratios.rst", category="Baselines"),
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
        receipts=expand("results/baselines/receipts/{utility}.json", utility=baselines_files.UTILITIES),
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
        needs(params="baselines.replace"),
    shell:
        STAGE


rule baselines_draw_replace:
    input:
        numbers="results/baselines/replace.json",
        values="results/baselines/replace_values.csv",
        connections="results/baselines/replace_connections.csv",
    output:
        vectors("baselines", "surrogates", "connected"),
        figures=report(drawn("baselines", "surrogates", "connected"), caption="captions/replace.rst", category="Baselines"),
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
        receipts=expand("results/baselines/receipts/{utility}.json", utility=baselines_files.UTILITIES),
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
        table="results/baselines/proportions.csv",
    output:
        vectors("baselines", "proportions"),
        figures=report(drawn("baselines", "proportions"), caption="captions/proportions.rst", category="Baselines"),
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
        needs(params="baselines.attributions", game="baselines.coalitions", pictures="baselines.pictures"),
    shell:
        STAGE


rule baselines_agreement:
    input:
        attributions=expand("results/baselines/attributions/{pictured}.h5", pictured=baselines_files.PICTURED),
        receipts=expand("results/baselines/receipts/{pictured}.json", pictured=baselines_files.PICTURED),
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
        pictures="results/baselines/agreement_pictures.csv",
    output:
        vectors("baselines", "agreement", "insertion"),
        figures=report(drawn("baselines", "agreement", "insertion"), caption="captions/agreement.rst", category="Baselines"),
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
        attributions=expand("results/baselines/attributions/{pictured}.h5", pictured=baselines_files.PICTURED),
    output:
        vectors("baselines", "pictures_classifier", "pictures_distance_positive", "pictures_distance_negative"),
        figures=report(drawn("baselines", "pictures_classifier", "pictures_distance_positive", "pictures_distance_negative"), caption="captions/pictures.rst", category="Baselines"),
        out="results/baselines/figures.json",
    log:
        "results/logs/baselines/figures.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="baselines.figures"),
    shell:
        STAGE


# On all cores, so that no other job runs beside what is timed.
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
        needs(params="baselines.runtime", timed_on=given(DEVICE_USED, "device"), game="baselines.coalitions", attributions="baselines.attributions", pictures="baselines.pictures"),
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
        table=report("results/baselines/claims.csv", caption="captions/claims.rst", category="Baselines"),
    log:
        "results/logs/baselines/claims.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE
