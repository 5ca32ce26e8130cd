"""Where a text comes from, in the form that China's labelling standard asks for in files (GB 45438-2025, annex E)."""


def aigc(producer: str, number: int | str) -> dict[str, str]:
    """The AIGC object of one text: `Label` "1" says that it is generated, the rest by whom and which one it is.

    Whoever makes a text here also passes it on, so producer and propagator are the same.
    """
    return {
        "Label": "1",
        "ContentProducer": producer,
        "ProduceID": str(number),
        "ReservedCode1": "",
        "ContentPropagator": producer,
        "PropagateID": str(number),
        "ReservedCode2": "",
    }
