from pipeline.studies.baselines import paths as paths

BASELINES = PARAMS.baselines


wildcard_constraints:
    utility="|".join(paths.UTILITIES),
    pictured="classifier|distance",


rule baselines_all:
    input:
        tracking.results(PARAMS, "baselines"),


rule baselines_surrogates:
    output:
        expand(
            "results/baselines/surrogates/{{utility}}/{repeat}.pt",
            repeat=paths.repeats(BASELINES),
        ),
    log:
        "results/logs/baselines/surrogates_{utility}.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "surrogates"),
        spec=house.option(BASELINES.surrogates),
    shell:
        "python -m pipeline.studies.baselines.surrogates --game {wildcards.utility}"
        " --params {params.spec:q} --out {output:q}"
        " --threads {threads} --log {log:q}"


# The stores themselves are no outputs: see the study of frames.
rule baselines_tables:
    input:
        lambda wildcards: paths.surrogates(BASELINES, wildcards.utility),
    output:
        "results/baselines/receipts/{utility}.json",
    log:
        "results/logs/baselines/tables_{utility}.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "tables"),
    shell:
        "python -m pipeline.studies.baselines.tables --game {wildcards.utility} --checkpoints {input:q}"
        " --store results/coalitions/baselines/{wildcards.utility}.zarr --out {output:q}"
        " --threads {threads} --log {log:q}"


rule baselines_ratios:
    input:
        receipts=expand(
            "results/baselines/receipts/{utility}.json", utility=paths.UTILITIES
        ),
        checkpoints=[
            path
            for utility in paths.UTILITIES
            for path in paths.surrogates(BASELINES, utility)
        ],
    output:
        numbers="results/baselines/ratios.json",
        table="results/baselines/ratios.csv",
        values="results/baselines/ratios_values.csv",
        counts="results/baselines/ratios_counts.csv",
        figures=report(
            house.figures("ratios", "ratios_error", study="baselines"),
            caption="report/ratios.rst",
            category="Baselines",
        ),
        vectors=house.figures("ratios", "ratios_error", kind="svg", study="baselines"),
    log:
        "results/logs/baselines/ratios.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "ratios"),
        spec=house.option(BASELINES.ratios),
    shell:
        "python -m pipeline.studies.baselines.ratios --receipts {input.receipts:q}"
        " --checkpoints {input.checkpoints:q} --params {params.spec:q} --out {output.numbers:q}"
        " --table {output.table:q} --values {output.values:q} --counts {output.counts:q}"
        " --figure {output.figures[0]:q} --error-figure {output.figures[1]:q}"
        " --threads {threads} --log {log:q}"


rule baselines_replaced:
    input:
        receipts=expand(
            "results/baselines/receipts/{utility}.json", utility=paths.UTILITIES
        ),
        checkpoints=[
            path
            for utility in paths.UTILITIES
            for path in paths.surrogates(BASELINES, utility)
        ],
    output:
        numbers="results/baselines/replaced.json",
        table="results/baselines/replaced.csv",
        values="results/baselines/replaced_values.csv",
        connections="results/baselines/replaced_connections.csv",
        figures=report(
            house.figures("surrogates", "connected", study="baselines"),
            caption="report/replaced.rst",
            category="Baselines",
        ),
        vectors=house.figures("surrogates", "connected", kind="svg", study="baselines"),
    log:
        "results/logs/baselines/replaced.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "replaced"),
        spec=house.option(BASELINES.replaced),
    shell:
        "python -m pipeline.studies.baselines.replace_stage --receipts {input.receipts:q}"
        " --checkpoints {input.checkpoints:q} --params {params.spec:q} --out {output.numbers:q}"
        " --table {output.table:q} --values {output.values:q}"
        " --connections {output.connections:q} --figure {output.figures[0]:q}"
        " --connected-figure {output.figures[1]:q}"
        " --threads {threads} --log {log:q}"


rule baselines_proportions:
    input:
        receipts=expand(
            "results/baselines/receipts/{utility}.json", utility=paths.UTILITIES
        ),
    output:
        numbers="results/baselines/proportions.json",
        table="results/baselines/proportions.csv",
        figures=report(
            house.figures("proportions", study="baselines"),
            caption="report/proportions.rst",
            category="Baselines",
        ),
        vectors=house.figures("proportions", kind="svg", study="baselines"),
    log:
        "results/logs/baselines/proportions.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "proportions"),
        spec=house.option(BASELINES.proportions),
    shell:
        "python -m pipeline.studies.baselines.proportions --receipts {input.receipts:q}"
        " --params {params.spec:q} --out {output.numbers:q} --table {output.table:q}"
        " --figure {output.figures[0]:q}"
        " --threads {threads} --log {log:q}"


rule baselines_classifier:
    input:
        pictures=paths.picture_files(BASELINES),
        weights=paths.given_network(BASELINES.classifier),
    output:
        network="results/baselines/classifier.pt",
        numbers="results/baselines/classifier.json",
    log:
        "results/logs/baselines/classifier.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("baselines", "classifier"),
        spec=house.option(BASELINES.classifier),
        # Areas are none of a network's business.
        pictures=house.option(BASELINES.pictures, without={"area"}),
    shell:
        "python -m pipeline.studies.baselines.classifier --pictures {params.pictures:q}"
        " --params {params.spec:q} --out {output.network:q} --numbers {output.numbers:q}"
        " --device {resources.device}"
        " --threads {threads} --log {log:q}"


rule baselines_embedding:
    input:
        pictures=paths.picture_files(BASELINES),
        weights=paths.given_network(BASELINES.embedding),
    output:
        network="results/baselines/embedding.pt",
        numbers="results/baselines/embedding.json",
    log:
        "results/logs/baselines/embedding.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("baselines", "embedding"),
        spec=house.option(BASELINES.embedding),
        # Areas are none of a network's business.
        pictures=house.option(BASELINES.pictures, without={"area"}),
    shell:
        "python -m pipeline.studies.baselines.embedding --pictures {params.pictures:q}"
        " --params {params.spec:q} --out {output.network:q} --numbers {output.numbers:q}"
        " --device {resources.device}"
        " --threads {threads} --log {log:q}"


rule baselines_game:
    input:
        weights=lambda wildcards: paths.pictured_weights(wildcards.pictured),
        pictures=paths.picture_files(BASELINES),
    output:
        temp("results/baselines/game/{pictured}.json"),
    log:
        "results/logs/baselines/game_{pictured}.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("baselines", "coalitions"),
        spec=house.option(BASELINES.coalitions),
        pictures=house.option(BASELINES.pictures),
    shell:
        "python -m pipeline.studies.baselines.game --model {wildcards.pictured} --weights {input.weights:q}"
        " --pictures {params.pictures:q} --params {params.spec:q} --device {resources.device}"
        " --store results/coalitions/baselines/{wildcards.pictured}.zarr --out {output:q}"
        " --threads {threads} --log {log:q}"


rule baselines_coalitions:
    input:
        game="results/baselines/game/{pictured}.json",
        weights=lambda wildcards: paths.pictured_weights(wildcards.pictured),
        pictures=paths.picture_files(BASELINES),
    output:
        temp("results/baselines/coalitions/{pictured}/{part}_of_{parts}.json"),
    log:
        "results/logs/baselines/coalitions_{pictured}_{part}_of_{parts}.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("baselines", "coalitions"),
        spec=house.option(BASELINES.coalitions),
        pictures=house.option(BASELINES.pictures),
    shell:
        "python -m pipeline.studies.baselines.coalitions --model {wildcards.pictured}"
        " --weights {input.weights:q} --pictures {params.pictures:q} --params {params.spec:q}"
        " --device {resources.device} --partition {wildcards.part}"
        " --partitions {wildcards.parts}"
        " --store results/coalitions/baselines/{wildcards.pictured}.zarr --out {output:q}"
        " --threads {threads} --log {log:q}"


rule baselines_receipts:
    input:
        parts=lambda wildcards: house.partition_receipts(
            PARAMS, "baselines", wildcards.pictured
        ),
        weights=lambda wildcards: paths.pictured_weights(wildcards.pictured),
        pictures=paths.picture_files(BASELINES),
    output:
        "results/baselines/receipts/{pictured}.json",
    log:
        "results/logs/baselines/receipts_{pictured}.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "coalitions"),
        spec=house.option(BASELINES.coalitions),
        pictures=house.option(BASELINES.pictures),
    shell:
        "python -m pipeline.studies.baselines.receipts --parts {input.parts:q} --out {output:q}"
        " --threads {threads} --log {log:q}"


rule baselines_attributions:
    input:
        receipt="results/baselines/receipts/{pictured}.json",
        weights=lambda wildcards: paths.pictured_weights(wildcards.pictured),
        pictures=paths.picture_files(BASELINES),
    output:
        "results/baselines/attributions/{pictured}.h5",
    log:
        "results/logs/baselines/attributions_{pictured}.log",
    conda:
        "environment.yaml"
    threads: 1
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("baselines", "attributions"),
        spec=house.option(BASELINES.attributions),
        game=house.option(BASELINES.coalitions),
        pictures=house.option(BASELINES.pictures),
    shell:
        "python -m pipeline.studies.baselines.attributions --model {wildcards.pictured}"
        " --weights {input.weights:q} --receipt {input.receipt:q}"
        " --pictures {params.pictures:q} --game {params.game:q} --params {params.spec:q}"
        " --device {resources.device} --out {output:q}"
        " --threads {threads} --log {log:q}"


rule baselines_agreement:
    input:
        attributions=expand(
            "results/baselines/attributions/{pictured}.h5", pictured=paths.PICTURED
        ),
        receipts=expand(
            "results/baselines/receipts/{pictured}.json", pictured=paths.PICTURED
        ),
    output:
        numbers="results/baselines/agreement.json",
        table="results/baselines/agreement.csv",
        pictures="results/baselines/agreement_pictures.csv",
        figures=report(
            house.figures("agreement", "insertion", study="baselines"),
            caption="report/agreement.rst",
            category="Baselines",
        ),
        vectors=house.figures("agreement", "insertion", kind="svg", study="baselines"),
    log:
        "results/logs/baselines/agreement.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "agreement"),
        spec=house.option(BASELINES.agreement),
    shell:
        "python -m pipeline.studies.baselines.agreement --attributions {input.attributions:q}"
        " --receipts {input.receipts:q} --params {params.spec:q} --out {output.numbers:q}"
        " --table {output.table:q} --pictures {output.pictures:q}"
        " --figures results/baselines/figures --threads {threads} --log {log:q}"


rule baselines_figures:
    input:
        expand("results/baselines/attributions/{pictured}.h5", pictured=paths.PICTURED),
    output:
        numbers="results/baselines/figures.json",
        figures=report(
            house.figures(*paths.PICTURE_FIGURES, study="baselines"),
            caption="report/pictures.rst",
            category="Baselines",
        ),
        vectors=house.figures(*paths.PICTURE_FIGURES, kind="svg", study="baselines"),
    log:
        "results/logs/baselines/figures.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "figures"),
        spec=house.option(BASELINES.figures),
    shell:
        "python -m pipeline.studies.baselines.figures_stage --attributions {input:q} --params {params.spec:q}"
        " --out {output.numbers:q} --figures results/baselines/figures"
        " --threads {threads} --log {log:q}"


# On all cores, so that no other job runs beside what is timed.
rule baselines_runtime:
    input:
        classifier="results/baselines/classifier.pt",
        embedding="results/baselines/embedding.pt",
        pictures=paths.picture_files(BASELINES),
    output:
        numbers="results/baselines/runtime.json",
        table="results/baselines/runtime.csv",
    log:
        "results/logs/baselines/runtime.log",
    conda:
        "environment.yaml"
    threads: 64
    resources:
        gpu=house.gpus(PARAMS),
        device=house.device(PARAMS),
    params:
        version=version("baselines", "runtime"),
        device=house.device(PARAMS),
        spec=house.option(BASELINES.runtime),
        game=house.option(BASELINES.coalitions),
        attributions=house.option(BASELINES.attributions),
        pictures=house.option(BASELINES.pictures),
    shell:
        "python -m pipeline.studies.baselines.runtime --classifier {input.classifier:q}"
        " --embedding {input.embedding:q} --pictures {params.pictures:q} --game {params.game:q}"
        " --attributions {params.attributions:q} --params {params.spec:q}"
        " --device {resources.device} --out {output.numbers:q} --table {output.table:q}"
        " --threads {threads} --log {log:q}"


rule baselines_claims:
    input:
        ratios="results/baselines/ratios.json",
        replaced="results/baselines/replaced.json",
        proportions="results/baselines/proportions.json",
        agreement="results/baselines/agreement.json",
        runtime="results/baselines/runtime.json",
    output:
        numbers="results/baselines/claims.json",
        table=report(
            "results/baselines/claims.csv",
            caption="report/baselines_claims.rst",
            category="Baselines",
        ),
    log:
        "results/logs/baselines/claims.log",
    conda:
        "environment.yaml"
    threads: 1
    params:
        version=version("baselines", "claims"),
    shell:
        "python -m pipeline.studies.baselines.claims --ratios {input.ratios:q}"
        " --replaced {input.replaced:q} --proportions {input.proportions:q}"
        " --agreement {input.agreement:q} --runtime {input.runtime:q}"
        " --out {output.numbers:q} --table {output.table:q} --threads {threads} --log {log:q}"
