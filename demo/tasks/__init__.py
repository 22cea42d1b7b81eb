"""The tasks: what can be asked of a model, what it says, and the sentence about it. No file here has a widget.

A task is a module with these functions:

    check(model, query)                      the query in the model's spelling; InputError for what it cannot answer
    complete(query, said)                    the query with what the model says where something was left empty
    describe(model, query, target, said)     what people call the target, and what else its details hold
"""

from types import ModuleType

from demo.tasks import captioning, classification, vqa

TASKS: dict[str, ModuleType] = {
    "classification": classification,
    "captioning": captioning,
    "vqa": vqa,
}
