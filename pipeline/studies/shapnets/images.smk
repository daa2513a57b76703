from pipeline.studies.shapnets import image_paths as shapnets_image_files

SHAPNETS_IMAGES = shapnets_image_files.picture_files(PARAMS.shapnets.images)
SHAPNETS_IMAGE_MODELS = list(shapnets_image_files.IMAGE_MODELS)
SHAPNETS_IMAGE_FIGURES = [
    "image_flips",
    "image_removal",
    "image_pruning",
    "image_regularised",
    "image_layers",
    "image_classes",
]


wildcard_constraints:
    image_model="|".join(SHAPNETS_IMAGE_MODELS),


rule shapnets_image_networks:
    input:
        SHAPNETS_IMAGES,
    output:
        out="results/shapnets/image_networks/{image_model}.pt",
        numbers="results/shapnets/image_networks/{image_model}.json",
    log:
        "results/logs/shapnets/image_networks_{image_model}.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(images="shapnets.images", params="shapnets.image_networks"),
    shell:
        STAGE


SHAPNETS_IMAGE_EXPLAINED = {
    "images": "shapnets.images",
    "params": "shapnets.image_explained",
}
SHAPNETS_IMAGE_NETWORKS = {
    name: expand(
        f"results/shapnets/image_networks/{{n}}.{end}", n=SHAPNETS_IMAGE_MODELS
    )
    for name, end in (("checkpoints", "pt"), ("numbers", "json"))
}


rule shapnets_image_explained:
    input:
        SHAPNETS_IMAGES,
        **SHAPNETS_IMAGE_NETWORKS,
    output:
        out="results/shapnets/images.json",
        table="results/shapnets/images.csv",
        arrays="results/shapnets/images.h5",
    log:
        "results/logs/shapnets/image_explained.log",
    conda:
        ENVIRONMENT
    resources:
        gpu=GPUS,
    params:
        needs(**SHAPNETS_IMAGE_EXPLAINED),
    shell:
        STAGE


rule shapnets_draw_images:
    input:
        numbers="results/shapnets/images.json",
        arrays="results/shapnets/images.h5",
    output:
        vectors("shapnets", *SHAPNETS_IMAGE_FIGURES),
        figures=reported(
            "shapnets",
            drawn("shapnets", *SHAPNETS_IMAGE_FIGURES),
            "Networks for images",
        ),
    log:
        "results/logs/shapnets/draw_images.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE
