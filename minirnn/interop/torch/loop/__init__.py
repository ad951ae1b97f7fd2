"""What a watched training loop does, and what is wrong with it.

Read from the top:

    diagnosis       from what was seen to findings, with edits of the user's lines
    observer        sees the loop, and puts everything back
    patches, places the calls that it listens to, and where they stand in the user's source
    batches, order, losses, stepping, tallies   what it keeps: data, their order, losses, steps
    evidence        all of that as the detectors of `minirnn.diagnosis` read it
    edits           what edit goes with a finding; data_edits, step_edits, by what they edit
    program         the user's source, looked into
"""
