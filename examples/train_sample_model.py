"""Train the tutorial model on real data and write `model_weights.pth` and `samples.csv` beside this file.

    python examples/train_sample_model.py [FOLDER]

The data are the first ten columns ("mean ...") of scikit-learn's breast-cancer table: 569 tumours, class 1 is benign,
so the model's output is the probability that a tumour is benign. A quarter of the rows is held out, stratified by
class. The columns are standardised by the mean and deviation of the training rows. `samples.csv` holds five held-out
rows, three malignant and two benign, in the standardised units that the model reads.

Two runs on one machine write the same bytes. Another processor may round differently in the last digits.
"""

import csv
import io
import os
import sys
from pathlib import Path

import numpy as np
import torch
from sample_model import SampleModel
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

SEED = 0
STEPS = 120


def load_data():
    """Return the names of the ten columns, then standardised training rows and labels, held-out rows and labels."""
    table = load_breast_cancer()
    x, y = table.data[:, :10], table.target
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=SEED, stratify=y)
    mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
    x_train, x_test = (x_train - mean) / deviation, (x_test - mean) / deviation
    return list(table.feature_names[:10]), x_train, y_train, x_test, y_test


def train(x, y):
    """Return a model trained on all rows at once: Adam with a little weight decay, binary cross entropy."""
    torch.manual_seed(SEED)
    model = SampleModel()
    inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
    return model.eval()


def accuracy(model, x, y):
    """Return the share of rows whose class the model gets right."""
    with torch.no_grad():
        probability = model(torch.tensor(x, dtype=torch.float32))[:, 0].numpy()
    return float(((probability > 0.5) == y).mean())


def write(path, data):
    """Write bytes under a temporary name and move them into place, so that no half-written file is ever seen."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    names, x_train, y_train, x_test, y_test = load_data()
    model = train(x_train, y_train)
    print(f"accuracy on {len(x_train)} training rows: {accuracy(model, x_train, y_train):.3f}")
    print(f"accuracy on {len(x_test)} held-out rows: {accuracy(model, x_test, y_test):.3f}")

    # Saved to memory first: a file name given to torch.save ends up inside the file and would change its bytes.
    weights = io.BytesIO()
    torch.save(model.state_dict(), weights)
    write(folder / "model_weights.pth", weights.getvalue())

    chance = np.random.default_rng(SEED)
    rows = [*chance.choice(np.flatnonzero(y_test == 0), 3, replace=False)]
    rows += [*chance.choice(np.flatnonzero(y_test == 1), 2, replace=False)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([f"{value:.6f}" for value in x_test[row]] for row in rows)
    write(folder / "samples.csv", text.getvalue().encode())
    print(f"wrote {folder / 'model_weights.pth'} and {folder / 'samples.csv'}")


if __name__ == "__main__":
    main()
