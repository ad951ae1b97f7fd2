"""What one of the threads of a call does, from packing weights to unpacking gradients: as text.

`forward_share` and `backward_share` are all of a pass in a thread, the sequence loop of `sequence`
in the middle; between phases the `count` threads meet. What each is told, besides what the loop is:

  packs             whether weights are to be packed first
  loops, multiplies, unpacks   which phases of backward to go through: the loop, the products over
                    time and batch, turning their sums into gradients
  steps             backward goes back through so many steps at a time, then multiplies
  fresh             the sums are empty
  needs_…           what is wanted of the products
  member, count     the thread's number, and how many they are
  team              `count` if the loop is a team's, which meets at every step, else 1
  meeting, met      what they meet at and count in, see `plan`; how often they have met
  scratch           room for each thread, see `around.weight_gradients`

`forward_step` runs one step with weights that are packed already.
"""

FORWARD_SHARE = """

@njit("i8(i8[::1], {m}, {m}, {f}, {f}, {t}, {f}, {f}, {t}, {t}, i8[::1], b1, i8, b1, b1, b1, b1, "
      "i8, i8, i8, i8, i8, i8, i8, i8, i8, i8, i8, i8, i8[::1], i8, i8[::1], i8, i8, i8, i8, i8, "
      "i8{state_types})", cache={cache}, **COMPILE)
def forward_share(addresses, weight_ih, weight_hh, bias_ih, bias_hh, x, workspace, z, output,
                  finals, lengths, masked, shortest, reverse, keeps, known, packs, first_step,
                  last_step, z_steps, z_rows, z_from, first, last, v0, v1, member, count, team,
                  meeting, met, clock, T, B, I, H, HP, depth{states}):
    started = ticks() if clock.shape[0] > 0 else 0
    after_x = NX * HP * I
    after_h = after_x + NH * HP * H
    if packs:
        call(addresses[PACK_FORWARD], address(addresses, 0), address(weight_ih, 0),
             address(weight_hh, 0), address(bias_ih, 0), address(bias_hh, 0), bias_ih.shape[0],
             bias_hh.shape[0], address(X_BLOCKS, 0), NX, address(H_BLOCKS, 0), NH, U, S, H, HP, I,
             address(workspace, 0), address(workspace, after_x), address(workspace, after_h),
             member, count)
        if clock.shape[0] > 0:
            clock[2] += ticks() - started
        if count > 1:
            met += count
            meet(address(meeting, {phases}), met)
    forward_rows(addresses, address(x, 0), address(workspace, 0), address(workspace, after_x),
                 address(workspace, after_h), address(z, 0), address(output, 0), address(finals, 0),
                 lengths, masked, shortest, reverse, keeps, known, first_step, last_step, z_steps,
                 z_rows, z_from, first, last, v0, v1, address(meeting, 0), team, clock, T, B, I, H,
                 HP, depth{state_addresses})
    return met
"""

STEP = """

@njit("void(i8[::1], {m}, {f}, {f}, {t}, i8[::1], b1, i8, i8, i8{state_types})",
      cache={cache}, **COMPILE)
def forward_step(addresses, x, workspace, z, finals, none, reverse, I, H, HP{states}):
    B = x.shape[0]
    after_x = NX * HP * I
    after_h = after_x + NH * HP * H
    forward_rows(addresses, address(x, 0), address(workspace, 0), address(workspace, after_x),
                 address(workspace, after_h), address(z, 0), address(finals, 0), address(finals, 0),
                 none, False, 1, reverse, False, False, 0, 1, 1, B, 0, 0, B, 0, HP // V, 0, 1, none,
                 1, B, I, H, HP, 2{state_addresses})
"""

BACKWARD_SHARE = """

@njit("i8(i8[::1], {m}, {m}, {t}, {t}, {f}, {f}, {f}, {f}, {f}, i8[::1], b1, i8, b1, b1, b1, b1, "
      "b1, b1, b1, b1, b1, b1, b1, b1, i8, i8, i8, i8, i8, i8, i8, i8, i8, i8, i8, i8, i8[::1], "
      "i8, i8[::1], i8, {f}, {t}, {m}, {m}, {f}, {f}, i8, i8, i8, i8, i8, i8{gradient_types})",
      cache={cache}, **COMPILE)
def backward_share(addresses, weight_ih, weight_hh, x, doutput, zeros, z, dz, packed, scratch,
                   lengths, masked, shortest, reverse, records, has_doutput, packs, loops,
                   multiplies, unpacks, needs_x, needs_ih, needs_hh, needs_bias, fresh, first_step,
                   last_step, steps, z_rows, z_from, first, last, v0, v1, member, count, team,
                   meeting, met, clock, chunk, sums, dx, dw_ih, dw_hh, db_ih, db_hh, T, B, I, H, HP,
                   depth{gradients}):
    timed = clock.shape[0] > 0
    started = ticks() if timed else 0
    after_h = NH * HP * HP
    panels = (HP // V + U - 1) // U
    height = I + H + 1
    if packs:
        if team > 1:  # everyone multiplies by some columns, and packs those
            call(addresses[PACK_ROWS], address(addresses, 0), address(weight_hh, 0),
                 address(H_BLOCKS, 0), NH, U, H, HP, H, v0 * V, v1 * V, address(packed, 0), 0, 1)
        else:
            call(addresses[PACK_ROWS], address(addresses, 0), address(weight_hh, 0),
                 address(H_BLOCKS, 0), NH, U, H, HP, H, 0, HP, address(packed, 0), member, count)
        if needs_x:
            call(addresses[PACK_ROWS], address(addresses, 0), address(weight_ih, 0),
                 address(X_BLOCKS, 0), NX, U, H, HP, I, 0, I, address(packed, after_h), member,
                 count)
        if timed:
            clock[2] += ticks() - started
        if count > 1:
            met += count
            meet(address(meeting, {phases}), met)
    parts = (last_step - first_step + steps - 1) // steps
    for number in range(parts - 1, -1, -1):
        begin = first_step + number * steps
        end = min(last_step, begin + steps)
        low = T - end if reverse else begin
        if loops and last > first:
            backward_rows(addresses, address(doutput, 0), address(zeros, 0), address(z, 0),
                          address(dz, 0), address(packed, 0), lengths, masked, shortest, reverse,
                          records, has_doutput, begin, end, z_rows, z_from, first, last, v0, v1,
                          address(meeting, 0), team, clock, T, B, H, HP,
                          depth{gradient_bases})
        if not multiplies:
            continue
        if count > 1:
            met += count
            meet(address(meeting, {phases}), met)
        # More pieces than threads: one that starts late, or is held up, takes fewer.
        rows = (end - begin) * B
        pieces = {pieces} * count if count > 1 else 1
        clean = address(scratch, member * (scratch.shape[0] // count))
        tiled = clean + (chunk * (I + H) + 2 * V if masked else 0) * SIZE
        h_at = (low + 1 if reverse else low) * B * H
        piece = take(address(meeting, {counters} + begin // steps), 1)
        while piece < pieces:
            started = ticks() if timed else 0
            if needs_x:
                call(addresses[INPUT_GRADIENT], address(addresses, 0), address(dz, 0), z_rows,
                     (low - z_from) * B, address(packed, after_h), address(zeros, 0), U, S, NX, HP,
                     I, address(dx, low * B * I), rows * piece // pieces,
                     rows * (piece + 1) // pieces)
                if timed:
                    clock[3] += ticks() - started
                    started = ticks()
            if needs_ih or needs_hh or needs_bias:
                call(addresses[WEIGHT_GRADIENTS], address(addresses, 0), address(dz, 0), z_rows,
                     (low - z_from) * B, address(x, low * B * I), address(h, h_at),
                     address(zeros, 0), address(zeros, zeros.shape[0] - 1), rows, B, I, H, HP, U, S,
                     NX, NH, address(lengths, 0), low, masked, reverse, needs_ih, needs_hh,
                     needs_bias, fresh, chunk, clean, tiled, address(sums, 0),
                     panels * height * piece // pieces, panels * height * (piece + 1) // pieces)
                if timed:
                    clock[4] += ticks() - started
            piece = take(address(meeting, {counters} + begin // steps), 1)
        fresh = False
    # All of dz has been read, before anybody rebuilds gates there, or unpacks the sums.
    if count > 1 and (multiplies or team > 1):
        met += count
        meet(address(meeting, {phases}), met)
    if unpacks:
        started = ticks() if timed else 0
        call(addresses[UNPACK_GRADIENTS], address(addresses, 0), address(sums, 0),
             address(X_BLOCKS, 0), NX, address(H_BLOCKS, 0), NH, U, S, I, H, HP, address(dw_ih, 0),
             address(dw_hh, 0), address(db_ih, 0), address(db_hh, 0), dw_ih.shape[0],
             dw_hh.shape[0], db_ih.shape[0], db_hh.shape[0], panels * member // count,
             panels * (member + 1) // count)
        if timed:
            clock[2] += ticks() - started
    return met
"""
