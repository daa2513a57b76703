from pipeline.studies.report import paths as report_files

REPORTED = {study: TARGETS[study] for study in PARAMS.studies}
REPORT_FILES = {
    study: [
        file
        for file in files
        if file.endswith((".png", ".csv")) or "/receipts/" in file
    ]
    for study, files in REPORTED.items()
}


rule report_page:
    input:
        report_files.shown(PARAMS, REPORTED),
    output:
        out=report_files.PAGE,
    log:
        "results/logs/report/page.log",
    conda:
        ENVIRONMENT
    params:
        needs(
            params="report",
            files=given(REPORT_FILES, "studies"),
            sections=given(report_files.sections(PARAMS), *report_files.names(PARAMS)),
        ),
    shell:
        STAGE
