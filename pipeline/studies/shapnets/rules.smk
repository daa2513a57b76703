from pipeline.studies.shapnets import paths as shapnets_files

SHAPNETS = PARAMS.shapnets
SHAPNETS_SOURCE = {
    "tables": "shapnets.tables",
    "yeast": "shapnets.yeast",
    "own": "shapnets.table",
}
SHAPNETS_TRAINED = {
    "training": "shapnets.training",
    "sizes": "shapnets.networks",
    **SHAPNETS_SOURCE,
}


wildcard_constraints:
    source="|".join(shapnets_files.TABLES),
    group="|".join(shapnets_files.GROUPS),


rule shapnets_networks:
    input:
        lambda wildcards: shapnets_files.given_files(SHAPNETS, wildcards.source),
    output:
        out="results/shapnets/networks/{source}_{group}.pt",
        numbers="results/shapnets/networks/{source}_{group}.json",
        table="results/shapnets/networks/{source}_{group}.csv",
    log:
        "results/logs/shapnets/networks_{source}_{group}.log",
    conda:
        ENVIRONMENT
    params:
        needs(section="shapnets.{group}", **SHAPNETS_TRAINED),
    shell:
        STAGE


rule shapnets_consistent:
    input:
        lambda wildcards: shapnets_files.given_files(SHAPNETS, wildcards.game),
    output:
        out="results/shapnets/consistent/{game}.pt",
        numbers="results/shapnets/consistent/{game}.json",
        table="results/shapnets/consistent/{game}.csv",
    log:
        "results/logs/shapnets/consistent_{game}.log",
    wildcard_constraints:
        game="|".join(shapnets_files.TABLES),
    conda:
        ENVIRONMENT
    params:
        needs(section="shapnets.consistent", **SHAPNETS_TRAINED),
    shell:
        STAGE


rule shapnets_distances:
    input:
        lambda wildcards: shapnets_files.given_files(SHAPNETS, wildcards.source),
        networks=lambda wildcards: shapnets_files.checkpoints(
            SHAPNETS, wildcards.source
        ),
        receipt=lambda wildcards: shapnets_files.receipt(SHAPNETS, wildcards.source),
    output:
        out="results/shapnets/distances/{source}.json",
        table="results/shapnets/distances/{source}.csv",
    log:
        "results/logs/shapnets/distances_{source}.log",
    conda:
        ENVIRONMENT
    params:
        needs(**shapnets_files.NEEDS),
    shell:
        STAGE


rule shapnets_timing:
    output:
        out="results/shapnets/timing.json",
        table="results/shapnets/timing.csv",
    log:
        "results/logs/shapnets/timing.log",
    priority: 1
    conda:
        ENVIRONMENT
    # Snakemake caps this at the cores there are. So no other job runs at the same time.
    threads: 64
    params:
        needs(timing="shapnets.timing"),
    shell:
        STAGE


rule shapnets_draw_tables:
    input:
        numbers=shapnets_files.numbers(SHAPNETS),
        distances=shapnets_files.distances(SHAPNETS),
        timing="results/shapnets/timing.json",
    output:
        vectors("shapnets", *shapnets_files.OF_TABLES),
        figures=reported(
            "shapnets",
            drawn("shapnets", *shapnets_files.OF_TABLES),
            "Networks for tables",
        ),
    log:
        "results/logs/shapnets/draw_tables.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule shapnets_claims:
    input:
        numbers=shapnets_files.numbers(SHAPNETS),
        distances=shapnets_files.distances(SHAPNETS),
        timing="results/shapnets/timing.json",
        images="results/shapnets/images.json",
    output:
        out="results/shapnets/claims.json",
        table="results/shapnets/claims.csv",
        page=reported("shapnets", "results/shapnets/claims.html", CLAIMS),
        metrics="results/shapnets/metrics.json",
        numbers_of_tables="results/shapnets/tables.json",
    log:
        "results/logs/shapnets/claims.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


include: "images.smk"
