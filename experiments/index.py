"""``python experiments/index.py``: the index of all claims and the results in their READMEs, from results.json."""

from pathlib import Path

from adain_evidence.index import write_index

if __name__ == "__main__":
    write_index(Path(__file__).parent)
