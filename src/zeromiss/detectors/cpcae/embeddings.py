"""What the plot of figure 6 shows: embeddings of images, by two ways, laid out in a plane.

Axes: N images, F features.
"""

import numpy as np
import torch
from sklearn.manifold import TSNE

from zeromiss.detectors.batches import Images
from zeromiss.detectors.cpcae.cpcae import Cpcae
from zeromiss.detectors.cpcae.score import Standard
from zeromiss.detectors.cpcae.train import embedding
from zeromiss.detectors.images import floats
from zeromiss.errors import ZeromissError

_PERPLEXITY = 30.0  # scikit-learn's default; fewer than 3 times as many images take a third of their number


def error_embeddings(cpcae: Cpcae, images: Images) -> np.ndarray:
    """Return the standardised features of each image's error map, (N, F): what the neighbours are found by."""
    standard = Standard(mean_F=cpcae.mean_F, scale_F=cpcae.scale_F)
    return torch.cat([standard(embedding(cpcae, floats(images[i]))) for i in range(len(images))]).numpy()


@torch.no_grad()
def latent_embeddings(cpcae: Cpcae, images: Images) -> np.ndarray:
    """Return the autoencoder's codes of all patches of each image, one behind the other, (N, F): what the paper compares with."""
    return torch.stack([cpcae.redraw(floats(images[i]))[1].flatten() for i in range(len(images))]).numpy()


def tsne_points(embeddings_NF: np.ndarray, seed: int) -> np.ndarray:
    """Return a place in the plane for each embedding, (N, 2); the same seed gives the same places.

    Raises ZeromissError with fewer than 4 images.
    """
    if len(embeddings_NF) < 4:
        raise ZeromissError(f"a t-SNE plot needs at least 4 images, there are {len(embeddings_NF)}: add some")
    perplexity = min(_PERPLEXITY, (len(embeddings_NF) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(np.asarray(embeddings_NF, dtype=np.float32))
