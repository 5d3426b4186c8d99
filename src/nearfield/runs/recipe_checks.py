"""What in a recipe cannot work together across its parts: network, loss, penalty, feature, augmentation."""

from nearfield.core.errors import RequestError
from nearfield.learning.samplers.copies import SAMPLERS
from nearfield.runs.recipe import Recipe


def check_learning(recipe: Recipe) -> None:
    """Raises RequestError where nothing that a run keeps would learn, or a penalty has nothing to act on."""
    embedding, loss = recipe.embedding, recipe.loss
    is_tagger = "tags" in getattr(loss, "needs", ())  # its last layer is kept beside the network
    if embedding.train == "none" and not is_tagger:
        raise RequestError(
            f"embedding.train: with 'none' the space stays as it is, and of {loss.kind} nothing is kept: "
            "nothing to train. Set embedding.train to all or head."
        )
    if embedding.train == "head" and embedding.size is None and not is_tagger:
        raise RequestError(
            f"embedding: without a last layer (size: null) and with train: head, {loss.kind} has "
            "nothing to train. Give a size, or set embedding.train to all."
        )
    if embedding.train != "all" and recipe.penalty.strength:
        raise RequestError(
            f"penalty.strength: the penalty is on the backbone's weights, and embedding.train: "
            f"{embedding.train} keeps them as they are. Set penalty.strength to 0, or embedding.train to all."
        )


def check_units(recipe: Recipe) -> None:
    """Raises RequestError where an augmentation takes the picture for another than the feature gives."""
    for bend in recipe.augment:
        unit = getattr(bend, "unit", None)
        if unit is None:
            continue
        given = getattr(recipe.feature, "unit", None)
        if given is None:
            raise RequestError(
                f"augment: {bend.kind!r} bends log-mel pictures, and the feature {recipe.feature.kind!r} "
                "gives others. Leave it out, or set feature.kind to log_mel."
            )
        if unit != given:
            raise RequestError(
                f"augment: {bend.kind!r} takes the picture for {unit!r}, and the feature gives {given!r} "
                f"(feature.log, feature.power). Set unit of {bend.kind!r} to {given}."
            )


def check_copies(recipe: Recipe) -> None:
    """Raises RequestError where augmented copies of clips cannot be made or cannot stand beside them."""
    if not recipe.train.augmented_copies:
        return
    given = f"train.augmented_copies: {recipe.train.augmented_copies}"
    mixing = [each.kind for each in recipe.augment if each.kind in ("mix", "shuffle_mix")]
    if not recipe.augment:
        raise RequestError(
            f"{given} copies of each clip would all be as the clip itself, as `augment` is empty. List "
            "augmentations there, or set train.augmented_copies to 0."
        )
    if mixing:
        raise RequestError(
            f"{given}, and augment: {mixing[0]!r} takes another clip of the batch, which is never the same "
            "for a copy. Leave it out, or set train.augmented_copies to 0."
        )
    if recipe.sampler.kind not in SAMPLERS or getattr(recipe.sampler, "mixing", None) is not None:
        mixed = " with sampler.mixing" if recipe.sampler.kind in SAMPLERS else ""
        raise RequestError(
            f"{given} is for samplers that choose clip by clip and leave them apart: {', '.join(SAMPLERS)}. "
            f"Given: sampler.kind {recipe.sampler.kind!r}{mixed}. Set train.augmented_copies to 0."
        )
