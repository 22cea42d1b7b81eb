"""The tasks: what can be asked of a model, what it says, and the sentence about it. No file here has a widget.

A task is a module with these functions:

    check(model, query)                      the query in the model's spelling; InputError for what it cannot answer
    complete(query, said)                    the query with what the model says where something was left empty
    describe(model, query, target, said)     its name, and what else its details hold
    candidates(query, said, most)            the query completed, and targets that a region may speak for
    name(query, target)                      what people call a target
    key(query)                               what tells its only target from others about the same photograph
"""

from types import ModuleType

from demo.tasks import captioning, classification, vqa

TASKS: dict[str, ModuleType] = {
    "classification": classification,
    "captioning": captioning,
    "vqa": vqa,
}
