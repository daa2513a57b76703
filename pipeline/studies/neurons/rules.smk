from pipeline.studies.neurons import paths as neurons_files

NEURONS = PARAMS.neurons
NEURONS_IMAGES = neurons_files.picture_files(NEURONS)
NEURONS_OPTIONAL = {
    stage: f"results/neurons/{stage}.json"
    for stage, section in (
        ("repair", NEURONS.networks.tinted),
        ("faces", NEURONS.faces),
    )
    if section is not None
}


wildcard_constraints:
    network="|".join(neurons_files.TRAINED),
    deceived="|".join(neurons_files.DECEIVED),
    subject="|".join(neurons_files.SUBJECTS),


rule neurons_networks:
    input:
        NEURONS_IMAGES,
        neurons_files.given_weights(NEURONS),
    output:
        out="results/neurons/networks/{network}.pt",
        numbers="results/neurons/networks/{network}.json",
    log:
        "results/logs/neurons/networks_{network}.log",
    conda:
        ENVIRONMENT
    params:
        needs(
            own=but("neurons.networks.{network}", "players"),
            training="neurons.training",
            images="neurons.images",
        ),
    shell:
        STAGE


rule neurons_attacks:
    input:
        NEURONS_IMAGES,
        checkpoint="results/neurons/networks/{deceived}.pt",
    output:
        out="results/neurons/attacks/{deceived}.h5",
    log:
        "results/logs/neurons/attacks_{deceived}.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="neurons.attack", images="neurons.images"),
    shell:
        STAGE


rule neurons_values:
    input:
        receipt="results/neurons/receipts/{subject}_pairs.json",
    output:
        out="results/neurons/values/{subject}.h5",
        table="results/neurons/values/{subject}.csv",
    log:
        "results/logs/neurons/values_{subject}.log",
    conda:
        ENVIRONMENT
    params:
        needs(coalitions="neurons.coalitions", pairs="neurons.pairs"),
    shell:
        STAGE


NEURONS_OPENED = {
    "images": "neurons.images",
    "coalitions": "neurons.coalitions",
    "players": "neurons.networks.plain.players",
}
NEURONS_PICTURED = {"params": "neurons.pictures", "removal": "neurons.removal"}
NEURONS_TINTED = {
    "tint": "neurons.networks.tinted",
    "images": "neurons.images",
    "coalitions": "neurons.coalitions",
}
NEURONS_FACES = {
    "pictures": "neurons.pictures",
    "coalitions": "neurons.coalitions",
    "pairs": "neurons.pairs",
}
NEURONS_SEARCHED = {
    "iterations": "neurons.shared",
    "orders": "neurons.walks",
    **NEURONS_OPENED,
}
NEURONS_ATTACKED = {
    "attacked": "results/neurons/values/attacked.h5",
    "clean": "results/neurons/values/plain.h5",
    "white_box": "results/neurons/attacks/plain.h5",
    "black_box": "results/neurons/attacks/foreign.h5",
}


rule neurons_removal:
    input:
        NEURONS_IMAGES,
        checkpoint="results/neurons/networks/plain.pt",
        values="results/neurons/values/plain.h5",
    output:
        out="results/neurons/removal.json",
        table="results/neurons/removal.csv",
    log:
        "results/logs/neurons/removal.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="neurons.removal", **NEURONS_OPENED),
    shell:
        STAGE


rule neurons_pictures:
    input:
        NEURONS_IMAGES,
        checkpoint="results/neurons/networks/plain.pt",
        values="results/neurons/values/plain.h5",
    output:
        out="results/neurons/pictures.h5",
    log:
        "results/logs/neurons/pictures.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(**NEURONS_PICTURED, **NEURONS_OPENED),
    shell:
        STAGE


rule neurons_vulnerable:
    input:
        NEURONS_IMAGES,
        **NEURONS_ATTACKED,
        checkpoint="results/neurons/networks/plain.pt",
    output:
        out="results/neurons/vulnerable.json",
        table="results/neurons/vulnerable.csv",
    log:
        "results/logs/neurons/vulnerable.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="neurons.removal", **NEURONS_OPENED),
    shell:
        STAGE


rule neurons_search:
    input:
        NEURONS_IMAGES,
        checkpoint="results/neurons/networks/plain.pt",
        values="results/neurons/values/plain.h5",
        shared="results/neurons/receipts/plain_shared.json",
        walks="results/neurons/receipts/plain_walks.json",
    output:
        out="results/neurons/search.json",
        table="results/neurons/search.csv",
    log:
        "results/logs/neurons/search.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="neurons.search", **NEURONS_SEARCHED),
    shell:
        STAGE


rule neurons_spread:
    input:
        NEURONS_IMAGES,
        checkpoints=expand("results/neurons/networks/{n}.pt", n=["plain", "dropout"]),
        values=expand("results/neurons/values/{n}.h5", n=["plain", "dropout"]),
    output:
        out="results/neurons/spread.json",
        table="results/neurons/spread.csv",
    log:
        "results/logs/neurons/spread.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(params="neurons.removal", **NEURONS_OPENED),
    shell:
        STAGE


rule neurons_draw_removal:
    input:
        numbers="results/neurons/removal.json",
    output:
        vectors("neurons", "removal", "classes"),
        figures=reported(
            "neurons", drawn("neurons", "removal", "classes"), "Without filters"
        ),
    log:
        "results/logs/neurons/draw_removal.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule neurons_draw_pictures:
    input:
        portraits_of="results/neurons/pictures.h5",
    output:
        vectors("neurons", "pictures", "class_pictures"),
        figures=reported(
            "neurons",
            drawn("neurons", "pictures", "class_pictures"),
            "What filters look for",
        ),
    log:
        "results/logs/neurons/draw_pictures.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule neurons_draw_vulnerable:
    input:
        numbers="results/neurons/vulnerable.json",
    output:
        vectors("neurons", "vulnerable"),
        figures=reported("neurons", drawn("neurons", "vulnerable"), "Without filters"),
    log:
        "results/logs/neurons/draw_vulnerable.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule neurons_draw_spread:
    input:
        numbers="results/neurons/spread.json",
    output:
        vectors("neurons", "spread"),
        figures=reported("neurons", drawn("neurons", "spread"), "Without filters"),
    log:
        "results/logs/neurons/draw_spread.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule neurons_draw_search:
    input:
        numbers="results/neurons/search.json",
    output:
        vectors("neurons", "search", "truncation", "costs"),
        figures=reported(
            "neurons",
            drawn("neurons", "search", "truncation", "costs"),
            "Cost of estimates",
        ),
    log:
        "results/logs/neurons/draw_search.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


rule neurons_claims:
    input:
        **NEURONS_OPTIONAL,
        removal="results/neurons/removal.json",
        vulnerable="results/neurons/vulnerable.json",
        spread="results/neurons/spread.json",
        search="results/neurons/search.json",
    output:
        out="results/neurons/claims.json",
        table="results/neurons/claims.csv",
        page=reported("neurons", "results/neurons/claims.html", CLAIMS),
        metrics="results/neurons/metrics.json",
    log:
        "results/logs/neurons/claims.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE


if NEURONS.networks.tinted is not None:

    rule neurons_repair:
        input:
            NEURONS_IMAGES,
            checkpoint="results/neurons/networks/tinted.pt",
            values="results/neurons/values/tinted.h5",
        output:
            out="results/neurons/repair.json",
            table="results/neurons/repair.csv",
        log:
            "results/logs/neurons/repair.log",
        conda:
            ENVIRONMENT
        resources:
            gpu=GPUS,
        params:
            needs(params="neurons.removal", **NEURONS_TINTED),
        shell:
            STAGE

    rule neurons_draw_repair:
        input:
            numbers="results/neurons/repair.json",
        output:
            vectors("neurons", "repair"),
            figures=reported("neurons", drawn("neurons", "repair"), "Without filters"),
        log:
            "results/logs/neurons/draw_repair.log",
        conda:
            ENVIRONMENT
        params:
            needs(),
        shell:
            STAGE


if NEURONS.faces is not None:

    rule neurons_weights:
        input:
            neurons_files.faces_weights(NEURONS),
        output:
            out="results/neurons/networks/faces.pt",
        log:
            "results/logs/neurons/weights.log",
        # Nodes of a cluster may have no access to the internet.
        localrule: True
        conda:
            ENVIRONMENT
        params:
            needs(params="neurons.faces"),
        shell:
            STAGE

    rule neurons_faces:
        input:
            checkpoint="results/neurons/networks/faces.pt",
        output:
            out="results/neurons/faces.json",
            table="results/neurons/faces.csv",
            portraits_of="results/neurons/faces.h5",
        log:
            "results/logs/neurons/faces.log",
        conda:
            ENVIRONMENT
        resources:
            gpu=GPUS,
        params:
            needs(params="neurons.removal", **NEURONS_FACES),
        shell:
            STAGE

    rule neurons_draw_faces:
        input:
            numbers="results/neurons/faces.json",
            portraits_of="results/neurons/faces.h5",
        output:
            vectors("neurons", "faces"),
            figures=reported("neurons", drawn("neurons", "faces"), "Without filters"),
        log:
            "results/logs/neurons/draw_faces.log",
        conda:
            ENVIRONMENT
        params:
            needs(),
        shell:
            STAGE
