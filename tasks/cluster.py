"""The Dask cluster that a run divides its work on."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE, persist_result=False)
def reach_cluster(root: str, cluster: str | None = None) -> None:
    """Look whether the cluster that the stages will use is there and fit, before hours are spent up to them.

    `cluster` goes before what the environment and params.yaml say. Raises ZeromissError when it is not.
    """
    from zeromiss.cluster import active_session, at_cluster, choose_address
    from zeromiss.params import read_cluster
    from zeromiss.workspace import Workspace

    with at_cluster(choose_address(cluster, read_cluster(Workspace(root=Path(root)).params_file))):
        session = active_session()
        if session is not None:
            print(session.describe())
