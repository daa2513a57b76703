# A store is filled in three steps: one job plans, several jobs evaluate, one merges their receipts.
# The receipt is the output, not the store: Snakemake deletes outputs before each run, and with the
# store it would delete values that the run can reuse.
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

    # The game's inputs are listed here again: the plan and the partitions' receipts are removed
    # after the merge, and their dependencies with them.
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
