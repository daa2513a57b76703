from pipeline.studies.report import paths as report_files


# The page is made from all results of the studies.
rule report_page:
    input:
        lambda wildcards: [file for study in PARAMS.studies for file in TARGETS[study]],
    output:
        out=report_files.PAGE,
        files=directory(report_files.FILES),
    log:
        "results/logs/report/page.log",
    conda:
        ENVIRONMENT
    params:
        needs(
            params="report",
            sections=given(
                {
                    study: getattr(PARAMS, study).model_dump(mode="json")
                    for study in PARAMS.studies
                },
                "studies",
                *PARAMS.studies,
            ),
        ),
    shell:
        STAGE
