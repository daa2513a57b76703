# A store is filled in three steps: one job plans, several jobs evaluate, one merges their receipts.
# The store itself is no output. Snakemake would delete it before each run, and with it the values
# that the run could use again. Its receipt stands for it.
wildcard_constraints:
    part=r"\d+",
    parts=r"\d+",


for study in STUDIES:
    study_files = importlib.import_module(f"pipeline.studies.{study}.paths")
    games = study_files.games(getattr(PARAMS, study))
    opened = {"study": given(study), "given": OfGame(games)}
    partition = f"results/{study}/partitions/{{game}}/{{part}}_of_{{parts}}.json"
    of_all = {"part": range(PARAMS.partitions), "parts": PARAMS.partitions}

    if not games:
        continue

    rule:
        name:
            f"{study}_plan"
        input:
            lambda wildcards, games=games: games[wildcards.game].inputs(),
        output:
            plan=temp(f"results/{study}/plans/{{game}}.json"),
        log:
            f"results/logs/{study}/plan_{{game}}.log",
        wildcard_constraints:
            game="|".join(games),
        conda:
            ENVIRONMENT
        resources:
            gpu=GPUS,
        params:
            needs(**opened),
        shell:
            STAGE

    rule:
        name:
            f"{study}_evaluate"
        input:
            lambda wildcards, games=games: games[wildcards.game].inputs(),
            plan=f"results/{study}/plans/{{game}}.json",
        output:
            receipt=temp(partition),
        log:
            f"results/logs/{study}/evaluate_{{game}}_{{part}}_of_{{parts}}.log",
        wildcard_constraints:
            game="|".join(games),
        conda:
            ENVIRONMENT
        resources:
            gpu=GPUS,
        params:
            needs(**opened),
        shell:
            STAGE

    # The inputs of the game are named here again: with the plan and the partitions' receipts, which
    # are removed once they have been merged, goes what they depended on.
    rule:
        name:
            f"{study}_merge"
        input:
            lambda wildcards, games=games: games[wildcards.game].inputs(),
            partitions=expand(partition, allow_missing=True, **of_all),
        output:
            receipt=f"results/{study}/receipts/{{game}}.json",
        log:
            f"results/logs/{study}/merge_{{game}}.log",
        wildcard_constraints:
            game="|".join(games),
        conda:
            ENVIRONMENT
        params:
            needs(**opened),
        shell:
            STAGE
