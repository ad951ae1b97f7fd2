"""The conformance kit: anyone's recurrent layer through a graded list of cases.

Read from the top:

    check_cell      the kit: runs the cases, and reports
    cases, graded   what is run, for the kit and one by one
    conventions     how an implementation orders and lays out its arrays
    implementation  someone's functions as the kit calls them, and all that they may get wrong there
    handling, guarded   memory: strides, poison, guards, repeats
    storage         tolerances for arrays of few bits
    patterns        what the failures have in common
    report          what was found, in words and as a dict
"""
