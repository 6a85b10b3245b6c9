"""The rules of the sentence grammars in English, French, Italian and Dutch.

All four have the same rules, with the same number of alternatives, and the
n-th alternatives mean the same.
"""

from __future__ import annotations

__all__ = ["GRAMMARS"]


def _split(alternatives: str) -> list[str]:
    return [text.strip() for text in alternatives.split("|")]


# language -> rule -> alternatives; {name} stands for an alternative of a rule.
GRAMMARS: dict[str, dict[str, list[str]]] = {
    "en": {
        "sentence": [
            "turn {state} {device} {room}",
            "turn {state} {device} and {device} {room}",
            "{move} {opening} {room}",
            "{move} {opening} {room} {part}",
            "there is {food} and {food} {room}",
            "buy {food} and {food} for {day}",
            "wake me on {day} at {number}",
            "set the timer {room} to {number} minutes",
            "on {day} there will be {weather} and {weather}",
            "what is the weather on {day} {part}",
            "{side} after {place} then {side} after {place}",
            "{place} is {number} minutes from here",
            "{digit} {digit} {digit} {digit}",
            "my number is {digit} {digit} {digit}",
            "we meet on {day} at {number} behind {place}",
        ],
        "state": _split("on | off"),
        "device": _split("the lamp | the radio | the heating | the fan"),
        "room": _split(
            "in the kitchen | in the bedroom | in the bathroom | in the garden"
        ),
        "move": _split("open | close"),
        "opening": _split("the door | the window | the gate"),
        "part": _split(
            "in the morning | in the afternoon | in the evening | at night"
        ),
        "food": _split("water | bread | coffee | ice"),
        "day": _split(
            "monday | tuesday | wednesday | thursday | friday | saturday"
            " | sunday"
        ),
        "weather": _split("rain | wind | sun | snow | fog"),
        "side": _split("left | right"),
        "place": _split(
            "the station | the school | the bridge | the market | the church"
            " | the hotel"
        ),
        "number": _split(
            "two | three | four | five | six | seven | eight | nine | ten"
            " | eleven | twelve"
        ),
        "digit": _split(
            "zero | one | two | three | four | five | six | seven | eight"
            " | nine"
        ),
    },
    "fr": {
        "sentence": [
            "{state} {device} {room}",
            "{state} {device} et {device} {room}",
            "{move} {opening} {room}",
            "{move} {opening} {room} {part}",
            "il y a {food} et {food} {room}",
            "achète {food} et {food} pour {day}",
            "réveille moi {day} à {number} heures",
            "mets le minuteur {room} sur {number} minutes",
            "{day} il y aura {weather} et {weather}",
            "quel temps fait il {day} {part}",
            "{side} après {place} puis {side} après {place}",
            "{place} est à {number} minutes d'ici",
            "{digit} {digit} {digit} {digit}",
            "mon numéro est {digit} {digit} {digit}",
            "rendez vous {day} à {number} heures derrière {place}",
        ],
        "state": _split("allume | éteins"),
        "device": _split("la lampe | la radio | le chauffage | le ventilateur"),
        "room": _split(
            "dans la cuisine | dans la chambre | dans la salle de bain"
            " | dans le jardin"
        ),
        "move": _split("ouvre | ferme"),
        "opening": _split("la porte | la fenêtre | le portail"),
        "part": _split("le matin | l'après midi | le soir | la nuit"),
        "food": _split("de l'eau | du pain | du café | de la glace"),
        "day": _split(
            "lundi | mardi | mercredi | jeudi | vendredi | samedi | dimanche"
        ),
        "weather": _split(
            "de la pluie | du vent | du soleil | de la neige | du brouillard"
        ),
        "side": _split("à gauche | à droite"),
        "place": _split(
            "la gare | l'école | le pont | le marché | l'église | l'hôtel"
        ),
        "number": _split(
            "deux | trois | quatre | cinq | six | sept | huit | neuf | dix"
            " | onze | douze"
        ),
        "digit": _split(
            "zéro | un | deux | trois | quatre | cinq | six | sept | huit"
            " | neuf"
        ),
    },
    "it": {
        "sentence": [
            "{state} {device} {room}",
            "{state} {device} e {device} {room}",
            "{move} {opening} {room}",
            "{move} {opening} {room} {part}",
            "c'è {food} e {food} {room}",
            "compra {food} e {food} per {day}",
            "svegliami {day} alle {number}",
            "imposta il timer {room} su {number} minuti",
            "{day} ci sarà {weather} e {weather}",
            "che tempo fa {day} {part}",
            "{side} dopo {place} poi {side} dopo {place}",
            "{place} è a {number} minuti da qui",
            "{digit} {digit} {digit} {digit}",
            "il mio numero è {digit} {digit} {digit}",
            "ci vediamo {day} alle {number} dietro {place}",
        ],
        "state": _split("accendi | spegni"),
        "device": _split(
            "la lampada | la radio | il riscaldamento | il ventilatore"
        ),
        "room": _split("in cucina | in camera | in bagno | in giardino"),
        "move": _split("apri | chiudi"),
        "opening": _split("la porta | la finestra | il cancello"),
        "part": _split("la mattina | il pomeriggio | la sera | di notte"),
        "food": _split("dell'acqua | del pane | del caffè | del ghiaccio"),
        "day": _split(
            "lunedì | martedì | mercoledì | giovedì | venerdì | sabato"
            " | domenica"
        ),
        "weather": _split("pioggia | vento | sole | neve | nebbia"),
        "side": _split("a sinistra | a destra"),
        "place": _split(
            "la stazione | la scuola | il ponte | il mercato | la chiesa"
            " | l'albergo"
        ),
        "number": _split(
            "due | tre | quattro | cinque | sei | sette | otto | nove | dieci"
            " | undici | dodici"
        ),
        "digit": _split(
            "zero | uno | due | tre | quattro | cinque | sei | sette | otto"
            " | nove"
        ),
    },
    "nl": {
        "sentence": [
            "zet {device} {room} {state}",
            "zet {device} en {device} {room} {state}",
            "{move} {opening} {room}",
            "{move} {opening} {room} {part}",
            "er is {food} en {food} {room}",
            "koop {food} en {food} voor {day}",
            "wek me {day} om {number} uur",
            "zet de wekker {room} op {number} minuten",
            "{day} komt er {weather} en {weather}",
            "wat wordt het weer {day} {part}",
            "{side} na {place} dan {side} na {place}",
            "{place} is {number} minuten hiervandaan",
            "{digit} {digit} {digit} {digit}",
            "mijn nummer is {digit} {digit} {digit}",
            "we zien elkaar {day} om {number} uur achter {place}",
        ],
        "state": _split("aan | uit"),
        "device": _split("de lamp | de radio | de verwarming | de ventilator"),
        "room": _split(
            "in de keuken | in de slaapkamer | in de badkamer | in de tuin"
        ),
        "move": _split("open | sluit"),
        "opening": _split("de deur | het raam | de poort"),
        "part": _split(
            "in de ochtend | in de middag | in de avond | in de nacht"
        ),
        "food": _split("water | brood | koffie | ijs"),
        "day": _split(
            "maandag | dinsdag | woensdag | donderdag | vrijdag | zaterdag"
            " | zondag"
        ),
        "weather": _split("regen | wind | zon | sneeuw | mist"),
        "side": _split("links | rechts"),
        "place": _split(
            "het station | de school | de brug | de markt | de kerk | het hotel"
        ),
        "number": _split(
            "twee | drie | vier | vijf | zes | zeven | acht | negen | tien"
            " | elf | twaalf"
        ),
        "digit": _split(
            "nul | een | twee | drie | vier | vijf | zes | zeven | acht | negen"
        ),
    },
}
