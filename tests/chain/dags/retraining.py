"""The pipelines that the chain tests start. Each says what it was asked for and ends."""

from airflow.sdk import dag, get_current_context, task


@task
def train():
    run = get_current_context()["dag_run"]
    print("asked for by", run.run_id, "with", run.conf)


@dag(dag_id="retrain", schedule=None, catchup=False, is_paused_upon_creation=False)
def retrain():
    train()


@dag(dag_id="retrain_paused", schedule=None, catchup=False, is_paused_upon_creation=True)
def retrain_paused():
    train()


retrain()
retrain_paused()
