"""An app as a CloudFormation template: from its declarations alone, without its code and without AWS.

`render` has the functions and all that feeds them, `polled` what a dispatcher needs to hear of buckets. The text is
JSON, which CloudFormation takes as it takes YAML, and which needs no library to write.

What AWS cannot honour is refused with the reason and the way out, all of it at once; what it does in another way is
in `notes`. `docs/portability.md` has both, declaration by declaration.
"""

from triggers.aws.template.document import notes, polled, render, text
from triggers.aws.template.functions import Code

__all__ = ["Code", "notes", "polled", "render", "text"]
