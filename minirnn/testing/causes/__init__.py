"""Why a run differs from the reference, found by runs that are wrong on purpose.

Read from the top:

    search          which of them explains what was found
    moved_arrays    the reference's own arrays, moved or scaled: they take no run
    mutants         the list of what implementations get wrong
    turned_calls    arguments taken the wrong way, before a right run
    faulty_run, faulty_backward   RNN, GRU and LSTM that can be wrong in one place
    part_of_call    a part of a large call, in which most are refuted
    rounding        differences that a narrower format makes
    observations    what a difference shows where no cause is found
"""
