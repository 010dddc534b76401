"""Augmentation that keeps a story whole: its characters get other names, each the same throughout.

A tiny model that meets a story many times learns its names by heart; with other names in each
rendering it has to look back for them instead. Only names whose use is sure are touched: those of
the lists below, and only where the story does not play with names or letters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from random import Random

from tinytales.train.corpus.labels import Document

# Names that are no English words (no Rose, Will or May), so that a capital letter proves the name.
# Kept apart by the pronouns that stories use with them: he stays he, she stays she.
GIRLS = tuple(
    """
    Abby Ada Aiko Alice Amara Amy Ana Anna Annie Anya Bea Bella Betty Cara Claire Clara Cleo
    Dana Dara Dina Ella Ellie Emi Emily Emma Esme Eva Faye Freya Hana Ida Imani Ines Isla
    Jada Jane Jenny Julie Juno Kala Kate Kemi Lena Lila Lily Lisa Lola Lucy Lulu Luna Maeve
    Mandy Mara Maria Mary Maya Mei Mia Millie Mimi Mina Mira Molly Nadia Nia Nina Nora Olga
    Oona Pia Polly Rani Rita Rosa Ruby Sally Sana Sara Sarah Sophie Sue Suki Susie Tala Tara
    Tess Tia Tilly Tina Uma Vera Viv Yara Yuki Zara Zoe
    """.split()
)
BOYS = tuple(
    """
    Alex Ali Amir Andy Arlo Aziz Ben Benny Billy Bobby Bram Bruno Charlie Chidi Danny Dave
    David Dev Edo Eli Enzo Felix Finn Fred George Gus Hari Henry Hugo Ike Ivan Jai Jake
    Jerry Jim Jimmy Jin Joe Joey John Kai Kofi Lars Leo Levi Luca Malik Marco Max Mike Milo
    Ned Nico Noah Obi Odin Ollie Omar Oscar Otto Paul Pavel Peter Pim Quinn Rafa Ravi Remy
    Sam Sami Seth Sol Tariq Theo Tim Timmy Toby Tom Tommy Tony Wes Zain
    """.split()
)
_GROUPS: Mapping[str, tuple[str, ...]] = {name: group for group in (GIRLS, BOYS) for name in group}
_CAPITALIZED = re.compile(r"(?<![\w-])[A-Z][a-z]+(?![\w-])")
#: Where a story is about names, letters or sounds, another name would spoil it.
_PLAYS_WITH_NAMES = re.compile(
    r"\b(?:alphabet|initials?|letters?|nicknames?|rhym\w+|spell(?:ed|ing|s)?|short for)\b"
)


def find_names(text: str) -> list[str]:
    """The names of characters in the order they come, if all of them can be changed safely."""
    if _PLAYS_WITH_NAMES.search(text):
        return []
    names = list(dict.fromkeys(n for n in _CAPITALIZED.findall(text) if n in _GROUPS))
    folded = text.lower()
    for name in names:
        # Tim who is also Timmy, Ti-im or TIM: one character by several forms.
        forms = len(re.findall(rf"\b{name.lower()}", folded))
        if forms != len(re.findall(rf"(?<![\w-]){name}(?![\w-])", text)):
            return []
    return names


def rename(document: Document, rng: Random) -> Document:
    """The story with other names; he stays he, she stays she, and no two become one."""
    names = find_names(document.text)
    if not names:
        return document
    there = set(_CAPITALIZED.findall(document.text + " " + document.summary))
    others: dict[str, str] = {}
    for name in names:
        free = [n for n in _GROUPS[name] if n not in there and n not in others.values()]
        others[name] = rng.choice(free)

    def swap(text: str) -> str:
        return _CAPITALIZED.sub(lambda match: others.get(match.group(), match.group()), text)

    return replace(document, text=swap(document.text), summary=swap(document.summary))
