rule toy_values:
    input:
        receipt="results/toy/receipts/majority.json",
    output:
        out="results/toy/values.json",
    log:
        "results/logs/toy/values.log",
    conda:
        ENVIRONMENT
    params:
        needs(params="toy.values"),
    shell:
        STAGE


rule toy_draw_values:
    input:
        values="results/toy/values.json",
    output:
        vectors("toy", "values"),
        figure=reported("toy", "results/toy/figures/values.png", "Figures"),
    log:
        "results/logs/toy/draw_values.log",
    conda:
        ENVIRONMENT
    params:
        needs(),
    shell:
        STAGE
