#!/bin/sh
# The study: what the demonstrations, the holdout, the maps, RHO's reference, refreshing and the
# known traps do, over several bases and draws.
#
#   make study                            everything; hours
#   make study ONLY="maps rho" BASES="1:12000 2:12000" DRAWS="1 2 3"
#   sh tests/bench/study.sh --tables      results.jsonl, the page, and the tables of docs/results.md
#   sh tests/bench/study.sh --list        how many runs each table has, and how many are finished
#
# A base SEED:STEPS is a model pretrained for STEPS steps on the corpus of seed SEED, from random
# weights of the same seed. SEED may be controlN: the corpus of seed N by --control. A draw is a
# pool and a holdout of that corpus; it also seeds the run. A run is one score or one fine-tuning.
# It has a folder named after all that it depends on, so that tables share runs. Stop the study at
# any time and start it again: finished runs are kept. Remove a folder, or all of OUT/study/runs, to
# make it again. A run uses one thread, and THREADS runs are made at once. Finished runs keep their
# figures and logs, not their models.
#
# From the environment: ONLY (bases maps rho pairs demos embedding many holdout contexts refresh
# traps methods ranks accept check attack attack_weak attack_lengths accept_trim
# accept_size accept_size_wrong accept_refresh accept_rivals accept_pairs accept_flips accept_rho
# accept_rho_wrong accept_equal accept_agree accept_known, online, gsm8k, instruct, gsm8k_trim,
# instruct_trim, stories, sessions), BASES, DRAWS (of scores), TRAIN_DRAWS (of fine-tuning; DRAWS),
# STEPS (of a fine-tuning: 120), OUT (out), THREADS (all cores). Tables of accept have ACCEPT_DRAWS
# ("4 5": the rule was made on the others), WEAK_BASES, SHORT_BASES and CONTROL_BASES, the table
# check has CHECK_BASES. GSM8K_DATA and INSTRUCT are the folder and the file of data/gsm8k.sh, for
# the tables of real text; GSM8K_BASES ("1") are its initialisations, and SEED-EPOCHS one that is
# pretrained for so many epochs and not 5. STORIES is the folder that data/stories.sh makes, for
# stories and sessions.
set -eu
cd "$(dirname "$0")/../.."
LC_ALL=C
export LC_ALL

. data/child.sh # `ica`, as a child that a worker can stop

HERE=tests/bench
OUT=${OUT:-out}
WORK=$OUT/study
BASES=${BASES:-"1:12000 2:12000 3:12000"}
DRAWS=${DRAWS:-"1 2 3 4 5"}
TRAIN_DRAWS=${TRAIN_DRAWS:-$DRAWS}
STEPS=${STEPS:-120}
ACCEPT_DRAWS=${ACCEPT_DRAWS:-"4 5"}
WEAK_BASES=${WEAK_BASES:-"1:5000 2:5000 3:5000"}
SHORT_BASES=${SHORT_BASES:-"1:3000 2:3000 3:3000"}
CHECK_BASES=${CHECK_BASES:-"$BASES $WEAK_BASES $SHORT_BASES control1:5000 control1:12000"}
CONTROL_BASES=${CONTROL_BASES:-control1:5000}
GSM8K=${GSM8K:-$WORK/gsm8k}
GSM8K_BASES=${GSM8K_BASES:-1}
GSM8K_DRAWS=${GSM8K_DRAWS:-"1 2 3"} # as many as data/gsm8k.sh makes
STORIES_DRAWS=${STORIES_DRAWS:-"1 2 3"} # as many as data/stories.sh makes
EVERY="bases maps rho pairs demos embedding many holdout contexts refresh traps methods ranks"
EVERY="$EVERY accept check attack attack_weak attack_lengths accept_trim accept_size"
EVERY="$EVERY accept_size_wrong accept_refresh accept_rivals accept_pairs accept_flips accept_rho"
EVERY="$EVERY accept_rho_wrong accept_equal accept_agree accept_known online"
STORIES=${STORIES:-$WORK/stories}
REAL="gsm8k instruct gsm8k_trim instruct_trim" # real text
WRITTEN="stories sessions" # text that the model wrote itself
ALL="$EVERY $REAL $WRITTEN"
[ -z "${GSM8K_DATA:-}" ] || EVERY="$EVERY $REAL"
ONLY=${ONLY:-$EVERY}
THREADS=${THREADS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}
OMP_NUM_THREADS=1
export OMP_NUM_THREADS
ICA=$WORK/ica # a copy: a build during the study changes nothing

say() { printf '%s\n' "$*" >&2; }
die() {
    say "study: $*"
    exit 1
}

# ---- the rows of the tables -----------------------------------------------------------------
# row LABEL KIND POOL HOLDOUT OPTIONS...: one row of the table $table. The first row of a table is
# the baseline of its paired differences. Fields are separated by tabs, "-" is an empty one.
#
# KIND     score, near (with the share of demonstrations of the candidate's kind of question),
#          train (all with OPTIONS), eval (k = OPTIONS), frame (METHOD FRAME), ranks (STEPS and
#          OPTIONS: see run_ranks), online (SCORER, WEIGHTS and TRUTH of
#          data/online.sh)
# POOL     even50, verbose60, pairs; holdout: that file itself; P+holdout: both files together;
#          noise-KINDS-R: R % of the answers of a family of noise, see noise_kinds; flips-R: pairs,
#          of which R % are flipped
# HOLDOUT  holdout, pairs-holdout; holdout-N-W: the first N records, W % of the prompts answered
#          wrongly; holdout-N-W-any: with the answer to any other prompt; holdout-N-W-prefix: all
#          wrong in the same way; holdout-N-W-refuser: refusals; holdout-N-W-numbers: wrong in the
#          same way, of questions for a number alone; of real text holdout-N-W-any,
#          holdout-N-W-pool: wrong as the pool's answers are, and holdout-N-W-others: records of the
#          other domain
# In OPTIONS, file:SHARED is a score file that the arms of a base and a draw share: that of the row
# of scores with the map `accept`. KEPT stands for the share of the pool that ICA with the map
# `filter` keeps, ACCEPTED for that of the map `accept`. "MORE METHOD MAP" in front of them adds as
# many steps as one scoring by METHOD for MAP costs, "FEWER METHOD MAP" takes as many away.
# A row "X: ARM" is compared with the row "X: uniform" and "X: oracle", if there are such rows.
row() {
    label=$1 kind=$2 pool=$3 holdout=$4
    shift 4
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$table" "$label" "$kind" "$pool" "$holdout" "${*:--}"
}

sft() { # LABEL OPTIONS...: fine-tuning on $pool_name
    label=$1
    shift
    row "$label" train "$pool_name" holdout "$@"
}

SUBSET="random subset, as many as ica:filter keeps"

group_bases() {
    table=bases
    for k in 0 1 2 3; do row "$k" eval test holdout $k; done
}

bounds() { # what every table of fine-tuning needs
    sft uniform --weights uniform
    sft oracle --weights oracle
}

group_maps() {
    for pool_name in even50 verbose60; do
        table=maps-$pool_name
        bounds
        row "holdout alone" train holdout holdout --weights uniform
        row "pool and holdout" train $pool_name+holdout holdout --weights uniform --allow-overlap
        sft "$SUBSET" --weights random --weight-map top --share KEPT
        for map in minmax minmax-batch positive filter top; do
            sft "ica:$map" --weights ica --weight-map $map
        done
    done
}

group_rho() {
    table=rho-scores
    row ica score even50 holdout
    for n in 15 50 150; do
        row "rho, $n steps" score even50 holdout --method rho --reference-steps $n
    done
    table=rho-training pool_name=even50
    bounds
    for map in minmax-batch filter top; do
        sft "ica:$map" --weights ica --weight-map $map
        for n in 15 50 150; do
            sft "rho:$map, $n steps" --weights rho --weight-map $map --reference-steps $n
        done
    done
}

group_pairs() {
    for objective in dpo simpo; do
        table=pairs-$objective
        for arm in uniform oracle; do
            row $arm train pairs pairs-holdout --objective $objective --weights $arm
        done
        for arm in ica:minmax ica:minmax-batch ica:filter ica:top rho:minmax rho:minmax-batch \
            rho:filter rho:top; do
            row $arm train pairs pairs-holdout --objective $objective --weights ${arm%%:*} \
                --weight-map ${arm#*:}
        done
    done
}

group_demos() {
    table=demos
    row "nearest, k = 3 (default)" score even50 holdout
    for k in 1 2 5; do row "nearest, k = $k" score even50 holdout --k $k; done
    row "random, k = 3" score even50 holdout --demos random
    for k in 1 3 5; do row "one fixed list, k = $k" score even50 holdout --demos fixed --k $k; done
    row "nearest, k = 3, the answers of others" score even50 holdout --demos shuffled
    row "nearest, k = 3, token sums" score even50 holdout --reduce sum
}

group_embedding() {
    table=embedding
    for k in 3 1; do
        for by in tfidf tokens hidden; do
            row "$by, k = $k" near even50 holdout --k $k --embedding $by
        done
        row "random, k = $k" near even50 holdout --k $k --demos random
    done
    table=embedding-training pool_name=even50
    bounds
    for by in tfidf tokens hidden; do
        sft "ica:accept, $by" --weights ica --weight-map accept --embedding $by
    done
}

group_many() {
    table=demos-many
    for k in 3 5 10; do row "nearest, k = $k" score even50 holdout --k $k; done
}

group_contexts() {
    table=contexts
    row "unlimited (default)" score even50 holdout
    for n in 64 16 4 1; do row "$n" score even50 holdout --contexts $n; done
}

group_holdout() {
    table=holdout
    row "200 records, 0 % wrong" score even50 holdout
    for n in 200 100 50 20 10; do
        for wrong in 0 10 20 30; do
            [ $n-$wrong = 200-0 ] ||
                row "$n records, $wrong % wrong" score even50 holdout-$n-$wrong
        done
    done
    table=holdout-rho
    row "0 % wrong" score even50 holdout --method rho
    for wrong in 10 20 30; do
        row "$wrong % wrong" score even50 holdout-200-$wrong --method rho
    done
}

group_refresh() {
    pool_name=even50
    for map in filter minmax-batch; do
        table=refresh-$map
        sft "R = 1" --weights ica --weight-map $map
        for r in 3 6; do sft "R = $r" --weights ica --weight-map $map --refresh $r; done
    done
}

group_traps() {
    table=traps-weights pool_name=even50
    sft "uniform, batch, 1" --weights uniform --micro-batch-size 1
    for line in "softmax micro 1" "softmax micro 8" "softmax batch 1" "minmax micro 1" \
        "minmax batch 1" "minmax-batch micro 1" "minmax-batch micro 8" "minmax-batch batch 1" \
        "minmax-batch count 1" "minmax-batch none 1"; do
        # shellcheck disable=SC2086  # the words of the line
        set -- $line
        sft "$1, $2, $3" --weights ica --weight-map "$1" --normalize "$2" --micro-batch-size "$3"
    done
    table=traps-leak
    sft uniform --weights uniform
    row "uniform, leaking" train even50+holdout holdout --weights uniform --allow-overlap
    for map in minmax minmax-batch filter top; do
        sft $map --weights ica --weight-map $map
        row "$map, leaking" train even50+holdout holdout --weights ica --weight-map $map \
            --allow-overlap
    done
    table=traps-frame
    for method in incontext loss; do
        demos=3
        [ $method = incontext ] || demos=0
        for frame in same preamble words; do
            row "$frame, $demos" frame even50 holdout $method $frame
        done
    done
}

group_methods() {
    table=methods
    row ica score even50 holdout
    for method in rho oneshot nuggets gradient incontext loss random; do
        row $method score even50 holdout --method $method
    done
}

# How far other scores rank like ICA's, and later ones like the first
group_ranks() {
    table=ranks
    for method in rho oneshot nuggets gradient incontext loss; do
        row $method ranks even50 holdout 0 --method $method
    done
    table=ageing
    for arm in uniform ica:minmax-batch ica:filter ica:accept; do
        for at in 20 60 120; do
            words="--weights ${arm%%:*}"
            [ "${arm#*:}" = "$arm" ] || words="$words --weight-map ${arm#*:}"
            row "$arm, $at steps" ranks even50 holdout $at "$words"
        done
    done
}

group_accept() {
    for table in accept-even50 accept-verbose60 accept-weak; do
        pool_name=${table#accept-}
        [ $table != accept-weak ] || pool_name=even50
        bounds
        for map in filter accept; do sft ica:$map --weights ica --weight-map $map; done
    done
    table=accept-wrong pool_name=even50
    bounds
    for wrong in 0 10 20; do
        holdout=holdout-200-$wrong
        [ $wrong != 0 ] || holdout=holdout
        for map in filter accept; do
            row "$wrong % wrong: $map" train even50 $holdout --weights ica --weight-map $map
        done
    done
    table=accept-pairs
    row mirror score pairs pairs-holdout --objective dpo --weight-map mirror
}

# The kinds of noise: what pretraining shows, improbable strings that it never shows, and wrong
# answers that look right, which it does not show either.
noise_kinds() {
    case $1 in
    seen) echo careless,verbose,absent,lazy,echo,refuser ;;
    unseen) echo typo,cut,shuffled,doubled,upper,prefix,negated,chatty ;;
    plausible) echo off-by-one,similar,swapped,wrong-chain ;;
    prefix | refuser) echo "$1" ;;
    *) die "no family of noise $1" ;;
    esac
}

attack() { # FAMILY RATE: its rows
    pool_name=noise-$1-$2
    for arm in uniform oracle; do sft "$2 %: $arm" --weights $arm; done
    for map in minmax-batch filter accept; do
        sft "$2 %: ica:$map" --weights ica --weight-map $map
    done
    [ "$2" = 0 ] || sft "$2 %: ica:top, the true share" --weights ica --weight-map top \
        --share "$(echo "$2" | awk '{ print 1 - $1 / 100 }')"
    sft "$2 %: random subset, as many as ica:accept keeps" --weights random --weight-map top \
        --share ACCEPTED
}

group_attack() {
    for family in seen unseen plausible; do
        table=accept-rate-$family
        for rate in 0 20 40 60 80 95; do attack $family $rate; done
    done
}

group_attack_weak() {
    for family in unseen plausible; do
        table=accept-$family-weak
        attack $family 50
    done
}

# Bases of 5,000 and of 3,000 steps
group_attack_lengths() {
    for table in accept-lengths-weak accept-lengths-short; do
        for pool_name in even50 verbose60 noise-seen-80 noise-seen-95 noise-unseen-50 \
            noise-unseen-95 noise-plausible-50 noise-plausible-95; do
            name=$(echo "$pool_name" | sed 's/noise-\(.*\)-\(.*\)/\2 % \1/')
            for arm in uniform oracle; do sft "$name: $arm" --weights $arm; done
            for arm in filter accept "accept --holdout-trim 0.3"; do
                # shellcheck disable=SC2086  # the words of the arm
                sft "$name: ica:$arm" --weights ica --weight-map $arm
            done
        done
    done
}

group_accept_trim() {
    for table in accept-trim accept-trim-weak; do
        pool_name=noise-plausible-50
        bounds
        for holdout in holdout holdout-200-10 holdout-200-10-any holdout-200-20 holdout-200-20-any \
            holdout-200-30 holdout-200-30-any; do
            name=$(echo "$holdout" | sed 's/holdout-200-//; s/holdout/0/; s/-any/ % any/')
            case $name in *any) ;; *) name="$name %" ;; esac
            for arm in filter accept "accept --holdout-trim 0.3"; do
                # shellcheck disable=SC2086  # the words of the arm
                row "$name wrong: $arm" train $pool_name $holdout --weights ica --weight-map $arm
            done
        done
    done
}

group_accept_size() {
    table=accept-size pool_name=noise-plausible-50
    bounds
    for n in 10 20 50 100 200; do
        for map in filter accept; do
            row "$n records: $map" train $pool_name holdout-$n-0 --weights ica --weight-map $map
        done
    done
}

# Holdouts that are small, or of which few are wrong
group_accept_size_wrong() {
    table=accept-size-wrong pool_name=noise-plausible-50
    bounds
    for size in "200 5" "100 5" "100 10" "100 20" "50 10" "50 20" "20 10" "20 20"; do
        for arm in accept "accept --holdout-trim 0.3"; do
            # shellcheck disable=SC2086  # the words of the arm
            row "${size% *} records, ${size#* } % wrong: $arm" train $pool_name \
                holdout-${size% *}-${size#* } --weights ica --weight-map $arm
        done
    done
}

group_accept_refresh() {
    table=accept-refresh pool_name=even50
    bounds
    for map in filter accept; do
        sft "$map, R = 1" --weights ica --weight-map $map
        for r in 3 6; do sft "$map, R = $r" --weights ica --weight-map $map --refresh $r; done
    done
}

group_accept_rivals() {
    table=accept-rivals pool_name=noise-plausible-50
    bounds
    row "holdout alone" train holdout holdout --weights uniform
    row "pool and holdout" train $pool_name+holdout holdout --weights uniform --allow-overlap
    for method in ica oneshot nuggets gradient incontext loss; do
        sft $method:accept --weights $method --weight-map accept
    done
    table=accept-control pool_name=even50
    bounds
    for map in filter accept; do sft ica:$map --weights ica --weight-map $map; done
}

group_accept_pairs() { flipped 30; }
group_accept_flips() { flipped 10 20 40; }
flipped() { # RATE...
    for objective in dpo simpo; do
        for rate in "$@"; do
            table=accept-$objective-$rate pool_name=flips-$rate
            [ $rate != 30 ] || table=accept-$objective pool_name=pairs
            for arm in uniform oracle "uniform --label-smoothing 0.$((rate / 10))" ica:filter \
                ica:accept ica:mirror "ica:mirror --relabel"; do
                label=$(echo "$arm" | sed 's/ --label/, label/')
                words="--weights ${arm%%:*}"
                [ "${arm#*:}" = "$arm" ] || words="$words --weight-map ${arm#*:}"
                row "$label" train $pool_name pairs-holdout --objective $objective "$words"
            done
        done
    done
}

# RHO's thresholds need a reference for each fold of the holdout.
group_accept_rho() {
    for table in accept-rho accept-rho-weak; do
        pool_name=noise-plausible-50
        bounds
        sft ica:accept --weights ica --weight-map accept
        for n in 15 50 150; do
            for map in filter accept; do
                sft "rho:$map, $n steps" --weights rho --weight-map $map --reference-steps $n
            done
        done
    done
}

group_accept_rho_wrong() {
    table=accept-rho-wrong pool_name=noise-plausible-50
    bounds
    for wrong in 0 10 20; do
        holdout=holdout-200-$wrong
        [ $wrong != 0 ] || holdout=holdout
        row "$wrong % wrong: ica:accept" train $pool_name $holdout --weights ica --weight-map accept
        for map in filter accept; do
            row "$wrong % wrong: rho:$map, 50 steps" train $pool_name $holdout \
                --weights rho --weight-map $map --reference-steps 50
        done
    done
}

group_accept_equal() {
    for table in accept-equal accept-equal-weak; do
        pool_name=noise-plausible-50
        bounds
        sft ica:accept --weights ica --weight-map accept
        sft "uniform, with as many operations as ica:accept" MORE ica accept --weights uniform
        sft "ica:accept, with as few as uniform" FEWER ica accept --weights ica --weight-map accept
        sft "ica:filter, with as few as uniform" FEWER ica filter --weights ica --weight-map filter
        sft "ica:minmax-batch, with as few as uniform" FEWER ica minmax --weights ica \
            --weight-map minmax-batch
        sft "rho:accept, 50 steps" --weights rho --weight-map accept --reference-steps 50
        sft "uniform, with as many as rho:accept" MORE rho accept --reference-steps 50 \
            --weights uniform
    done
}

# Errors of the holdout that agree with each other and with those of the pool
group_accept_agree() {
    table=accept-agree pool_name=noise-prefix-50
    bounds
    for wrong in 0 10 20 30 40 50; do
        for arm in filter accept "accept --holdout-trim 0.3" "accept --holdout-trim 0.5"; do
            # shellcheck disable=SC2086  # the words of the arm
            row "$wrong % wrong: $arm" train $pool_name holdout-200-$wrong-prefix --weights ica \
                --weight-map $arm
        done
    done
    table=accept-agree-numbers pool_name=noise-plausible-50
    bounds
    for wrong in 0 20 50 100; do
        for arm in filter accept "accept --holdout-trim 0.3"; do
            # shellcheck disable=SC2086  # the words of the arm
            row "$wrong % of numbers wrong: $arm" train $pool_name holdout-200-$wrong-numbers \
                --weights ica --weight-map $arm
        done
    done
}

# Errors that agree and that the base has learned to expect: refusals
group_accept_known() {
    table=accept-agree-known pool_name=noise-refuser-50
    bounds
    for wrong in 10 20 30 50; do
        for arm in accept "accept --holdout-trim 0.3" "accept --holdout-trim 0.5"; do
            # shellcheck disable=SC2086  # the words of the arm
            row "$wrong % wrong: $arm" train $pool_name holdout-200-$wrong-refuser --weights ica \
                --weight-map $arm
        done
    done
}

# Pairs that the model samples itself, stage after stage
group_online() {
    table=online
    for arm in uniform oracle; do row $arm online noise-seen-0 pairs-holdout present $arm; done
    for map in filter accept mirror; do
        row "ica:$map" online noise-seen-0 pairs-holdout present ica:$map
        row "ica:$map, scores by the base" online noise-seen-0 pairs-holdout base ica:$map
    done
    # Only pairs of which one is right
    for arm in uniform oracle ica:filter ica:accept ica:mirror; do
        table=online
        row "exact: $arm" online noise-seen-0 pairs-holdout present $arm exact
    done
    for table in online-scores online-kinds; do
        for arm in uniform oracle ica:filter ica:accept ica:mirror; do
            row $arm online noise-seen-0 pairs-holdout present $arm
        done
    done
}

group_check() {
    table=check
    row ica score even50 holdout
}

group_gsm8k() { real gsm8k; }
group_instruct() { real instruct; }
real() { # TASK: one of data/gsm8k.sh
    table=$1-check pool_name=pool
    row ica score pool holdout --method ica
    table=$1-scores
    for method in ica rho incontext loss random; do
        row $method score pool holdout --method $method
    done
    table=$1
    bounds
    row "holdout alone" train holdout holdout --weights uniform
    for arm in ica:minmax-batch ica:top ica:filter ica:accept incontext:accept rho:top; do
        sft $arm --weights ${arm%%:*} --weight-map ${arm#*:}
    done
    sft "$SUBSET" --weights random --weight-map top --share KEPT
    sft "random subset, as many as ica:accept keeps" --weights random --weight-map top \
        --share ACCEPTED
}

# A holdout of 100 records of real text that is partly wrong, and trimming. On GSM8K, where scores
# take minutes, only what is chosen
group_gsm8k_trim() { real_trim gsm8k "score pool" "--method ica" any others; }
group_instruct_trim() {
    table=instruct-trim pool_name=pool
    bounds
    real_trim instruct "train pool" "--weights ica" pool
    # A level that may lose as many of the clean as trimming: is that all that trimming does?
    for wrong in "0 any wrong" "10 pool pool" "20 pool pool"; do
        # shellcheck disable=SC2086  # the words of the row
        set -- $wrong
        row "$1 % $3: accept --accept-level 0.35" train pool "holdout-100-$1-$2" --weights ica \
            --weight-map accept --accept-level 0.35
    done
}
real_trim() { # TASK KIND_AND_POOL OPTION HOW...
    table=$1-trim run_kind=$2 option=$3
    shift 3
    for wrong in 0 "$@"; do
        for share in 10 20; do
            name="$share % $wrong" holdout=holdout-100-$share-$wrong
            [ "$wrong" != 0 ] || name="0 % wrong" holdout=holdout-100-0-any
            [ "$wrong-$share" != 0-20 ] || continue
            for arm in accept "accept --holdout-trim 0.3"; do
                # shellcheck disable=SC2086  # the words of the variables
                row "$name: $arm" $run_kind $holdout $option --weight-map $arm
            done
        done
    done
}

group_stories() { written stories; }
group_sessions() { written sessions; }
written() { # TASK: one of data/stories.sh
    table=$1-check pool_name=pool
    row "ica, k = 3" score pool holdout --weight-map accept --k 3
    table=$1-scores
    row "ica, k = 3" score pool holdout --weight-map accept --k 3
    for k in 2 1; do row "ica, k = $k" score pool holdout --k $k; done
    for method in rho gradient loss random; do row $method score pool holdout --method $method; done
    table=$1
    bounds
    row "holdout alone" train holdout holdout --weights uniform
    for map in minmax-batch top filter accept; do
        sft ica:$map --weights file:SHARED --weight-map $map
    done
    sft loss:top --weights loss --weight-map top
    sft "random subset, as many as ica:accept keeps" --weights random --weight-map top \
        --share ACCEPTED
}

# rows GROUP...
rows() {
    for group in "$@"; do
        case " $ALL " in
        *" $group "*) "group_$group" ;;
        *) die "no table $group; there are: $ALL" ;;
        esac
    done
}

# Standard input: rows. Output: one line a run, "TABLE LABEL KIND POOL HOLDOUT OPTIONS BASE DRAW
# FOLDER", in an order in which each table grows evenly over bases and draws.
runs() {
    awk -F '\t' -v OFS='\t' -v bases="$BASES" -v draws="$DRAWS" -v train_draws="$TRAIN_DRAWS" \
        -v steps="$STEPS" -v gsm8k="$GSM8K_BASES" -v gsm8k_draws="$GSM8K_DRAWS" \
        -v stories_draws="$STORIES_DRAWS" \
        -v weak="$WEAK_BASES" -v short="$SHORT_BASES" -v check="$CHECK_BASES" \
        -v control="$CONTROL_BASES" -v accept_draws="$ACCEPT_DRAWS" -v work="$WORK/runs" '
        function all(table, r, nb, nd, b, d, i, f, name, list, base, task) {
            for (d = 1; d <= 99; d++)
                for (i = 1; i <= r; i++) {
                    split(line[i], f, FS)
                    if (table ~ /^(stories|sessions)/) {
                        task = table; sub(/-.*/, "", task)
                        nb = split(task ":1", base, " "); nd = split(stories_draws, list, " ")
                    } else if (table ~ /^(gsm8k|instruct)/) {
                        nb = split(gsm8k, base, " "); nd = split(gsm8k_draws, list, " ")
                        task = table; sub(/-.*/, "", task)
                        for (b = 1; b <= nb; b++) base[b] = task ":" base[b]
                    } else {
                        nb = split(table ~ /^accept.*weak$/ ? weak : \
                                   table ~ /^accept.*short$/ ? short : \
                                   table == "accept-control" ? control : \
                                   table == "check" ? check : bases, base, " ")
                        nd = split(table ~ /^accept/ ? accept_draws : \
                                   f[3] == "train" ? train_draws : draws, list, " ")
                    }
                    if (d > nd) continue
                    name = f[3] "_" f[4] "_" f[5] "_" f[6]
                    if (f[3] == "train") name = name "_" steps
                    gsub(/[\/: ]+/, "_", name); gsub(/--/, "", name)
                    for (b = 1; b <= nb; b++) {
                        folder = base[b]; sub(/:/, "-", folder)
                        print line[i], base[b], list[d], work "/" folder "/" list[d] "/" name
                    }
                }
        }
        $1 != table { if (n) all(table, n); n = 0; table = $1 }
        { line[++n] = $0 }
        END { if (n) all(table, n) }'
}

# ---- what a run reads ------------------------------------------------------------------------
# All of these set variables from $base: model, data (the folder of the draw), test, and tune.
TUNE="--learning-rate 5e-4 --warmup-steps 20 --min-lr-ratio 0.1 --batch-size 32"
TUNE="$TUNE --reference-steps 150 --anchors random --num-anchors 8"
# Pairs: with 30 % flipped, `top` keeps the best 60 %.
PAIRS="--learning-rate 2e-4 --warmup-steps 20 --min-lr-ratio 0.1 --batch-size 32"
PAIRS="$PAIRS --reference-steps 150 --share 0.6"
ONLINE="--learning-rate 2e-4 --warmup-steps 5 --min-lr-ratio 0.1 --batch-size 32 --beta 0.1"
STAGES=4 # of data/online.sh
GSM8K_TUNE="--learning-rate 5e-4 --min-lr-ratio 0.1 --batch-size 16 --reference-steps 60 --truncate"

places() { # BASE DRAW
    seed=${1%%:*} shared=
    case $1 in
    gsm8k:* | instruct:*) # the same bases
        model=$GSM8K/base/${1#*:} data=$GSM8K/data/$2
        [ "$seed" = gsm8k ] || data=$GSM8K/instruct/$2
        test=$data/test.jsonl pairs_test= tune="$GSM8K_TUNE" steps=60 ;;
    stories:* | sessions:*)
        model=$STORIES/base/$seed data=$STORIES/data/$2
        test=$data/test.jsonl pairs_test= tune="$GSM8K_TUNE" steps=40
        shared=$WORK/shared/$seed-$2/scores.jsonl ;;
    *)
        model=$WORK/base/$seed-${1#*:} data=$WORK/data/$seed/$2
        test=$WORK/data/$seed/1/test.jsonl pairs_test=$WORK/data/$seed/1/pairs-test.jsonl
        tune="$TUNE" steps=$STEPS ;;
    esac
}

make_corpora() { # SEED
    control=
    [ "${1#control}" = "$1" ] || control=--control
    for d in $(printf '%s\n' 1 $DRAWS $TRAIN_DRAWS $ACCEPT_DRAWS | sort -un); do
        to=$WORK/data/$1/$d pretrain=--no-pretrain
        [ ! -d "$to" ] || continue
        [ "$d" != 1 ] || pretrain=--pretrain
        rm -rf "$to.part"
        # shellcheck disable=SC2086  # no word, or one
        ica corpus --out "$to.part" --seed "${1#control}" --draw "$d" $pretrain $control &&
            mv "$to.part" "$to" || return 1
    done
    [ -d "$WORK/tokenizer/$1" ] ||
        ica tokenizer --data "$WORK/data/$1/1/pretrain.jsonl" --vocab-size 512 \
            --out "$WORK/tokenizer/$1"
}

# A base is finished when its last state is gone. While it is there, the base goes on from it.
make_base() { # BASE
    places "$1" 1
    if [ -f "$model/training_state.safetensors" ]; then
        ica pretrain --resume "$model" || return 1
    elif [ ! -f "$model/model.safetensors" ]; then
        rm -rf "$model"
        case $1 in
        gsm8k:*)
            start=${1#*:} epochs=5
            [ "$start" = "${start%-*}" ] || epochs=${start#*-}
            set -- --data "$GSM8K/data/pretrain.jsonl" --tokenizer "$GSM8K/tokenizer" \
                --channels 128 --context 768 --batch-tokens 2048 --learning-rate 2e-3 \
                --num-train-epochs "$epochs" --shuffle --prompt-loss-weight 0.5 \
                --seed "${start%-*}" ;;
        *)
            set -- --data "$WORK/data/$seed/1/pretrain.jsonl" --tokenizer "$WORK/tokenizer/$seed" \
                --channels 64 --context 128 --batch-tokens 640 --learning-rate 4e-3 \
                --max-steps "${1#*:}" --seed "${seed#control}" ;;
        esac
        ica pretrain "$@" --layers 4 --heads 4 --min-lr-ratio 0.1 --logging-steps 100 \
            --save-steps 500 --holdout "$data/holdout.jsonl" --eval "$test" --eval-steps 2000 \
            --out "$model" --overwrite || return 1
    fi
    rm -f "$model"/*state*.safetensors
}

# For awk: what a key of a line says, and the kind of a question
PROMPTS='
    function part(line, key) {
        match(line, "\"" key "\":\"([^\"\\\\]|\\\\.)*\"")
        return substr(line, RSTART + length(key) + 4, RLENGTH - length(key) - 5)
    }
    function kind(prompt) {
        if (prompt ~ /capital/) return "cap"
        if (prompt ~ /opposite/) return "opp"
        if (prompt ~ /colour/) return "col"
        if (prompt ~ /kind of thing|type of what/) return "cat"
        if (prompt ~ /number comes|you count/) return "nxt"
        if (prompt ~ /letters|backwards/) return "rev"
        print "study: no kind of question: " prompt >"/dev/stderr"
        exit 1
    }'

# HOLDOUT N WRONG [HOW]: the first N records. WRONG % of the prompts, evenly spread, get
# the answer of the next record of the same kind (HOW any: or of any) whose answer is another one.
# HOW prefix: "answer : " in front of theirs; refuser: a refusal; numbers: of the questions for a
# number, one more; pool: in turn a refusal and the words in reverse, as data/gsm8k.sh has them;
# others: entire records of others.jsonl beside the holdout, instead of theirs. A prompt has one
# answer everywhere.
spoil() {
    awk -v n="$2" -v wrong="$3" -v how="${4:-}" -v others="${1%/*}/others.jsonl" "$PROMPTS"'
        function reversed(text, word, i, back) {
            for (i = split(text, word, " "); i > 0; i--) back = back word[i] (i > 1 ? " " : "")
            return back
        }
        function other(i, j) {
            if (how == "prefix") return "answer : " answer[i]
            if (how == "numbers") return answer[i] + 1
            if (how == "refuser") return "i do not know ."
            if (how == "pool" && ++turn % 2) return "I am sorry, but I cannot help with that."
            if (how == "pool") return reversed(answer[i])
            for (j = i % NR + 1; j != i; j = j % NR + 1)
                if ((how == "any" || type[j] == type[i]) && answer[j] != answer[i]) return answer[j]
            return answer[i]
        }
        function with(line, was, is, at) {
            at = index(line, "\"completion\":\"") + 14
            return substr(line, 1, at - 1) is substr(line, at + length(was))
        }
        { line[NR] = $0; prompt[NR] = part($0, "prompt"); answer[NR] = part($0, "completion")
          type[NR] = how == "" || how == "numbers" ? kind(prompt[NR]) : "" }
        END {
            for (i = 1; i <= n; i++) {
                if (!(prompt[i] in given)) {
                    given[prompt[i]] = answer[i]
                    distinct += how != "numbers" || type[i] == "nxt"
                    if (int(distinct * wrong / 100) > int(before * wrong / 100)) {
                        if (how == "others") getline instead[prompt[i]] <others
                        else given[prompt[i]] = other(i)
                    }
                    before = distinct
                }
                if (prompt[i] in instead) print instead[prompt[i]]
                else print with(line[i], answer[i], given[prompt[i]])
            }
        }' "$1"
}

# PAIRS RATE: the pairs, of which RATE %, evenly spread, are flipped, and the others not
flip() {
    awk -v rate="$2" '
        {
            line = $0
            was = line ~ /"flipped":true/
            is = int(NR * rate / 100 + 1e-9) > int((NR - 1) * rate / 100 + 1e-9)
            if (was != is) {
                sub(/"chosen":/, "\"was\":", line)
                sub(/"rejected":/, "\"chosen\":", line)
                sub(/"was":/, "\"rejected\":", line)
            }
            sub(/"flipped":[a-z]*/, "\"flipped\":" (is ? "true" : "false"), line)
            print line
        }' "$1"
}

# The files of a run: $holdout_file and $pool_file. What has to be made is made in $run.
files() { # POOL HOLDOUT
    holdout_file=$data/$2.jsonl
    case $2 in
    holdout-*-*)
        holdout_file=$run/holdout.jsonl
        # shellcheck disable=SC2046  # the words of the name: a size, a share, and how or nothing
        spoil "$data/holdout.jsonl" $(echo "${2#holdout-}" | tr - " ") >"$holdout_file" ||
            return 1 ;;
    esac
    case $1 in
    holdout) pool_file=$holdout_file ;;
    test) pool_file=$test ;;
    pairs) pool_file=$data/pairs-pool.jsonl ;;
    flips-*)
        pool_file=$run/pool.jsonl
        flip "$data/pairs-pool.jsonl" "${1#flips-}" >"$pool_file" || return 1 ;;
    pool) pool_file=$data/pool.jsonl ;;
    *+holdout)
        files "${1%+holdout}" "$2" || return 1
        cat "$pool_file" "$holdout_file" >"$run/pool.jsonl" && pool_file=$run/pool.jsonl ;;
    noise-*)
        pool_file=$run/corpus/pool-noise.jsonl kinds=${1#noise-}
        set -- "$(noise_kinds "${kinds%-*}")" "$(echo "${kinds#*-}" | awk '{ print $1 / 100 }')"
        [ "$2" != 0 ] || set -- none 0
        ica corpus --out "$run/corpus" --seed "${seed#control}" --draw "$draw" --no-pretrain \
            --noise "$1" --noise-rate "$2" || return 1 ;;
    *) pool_file=$data/pool-$1.jsonl ;;
    esac
}

# The options, with KEPT or ACCEPTED replaced: where weights are 0 or 1, the ESS is how many are 1.
options() { # OPTIONS...
    word=KEPT map=filter
    case " $* " in *" ACCEPTED "*) word=ACCEPTED map=accept ;; esac
    case " $* " in
    *" $word "*)
        if [ -f "$shared" ]; then kept=$(cat "$shared.kept")
        else
            # shellcheck disable=SC2086
            ica score --model "$model" --pool "$pool_file" --holdout "$holdout_file" \
                --seed "$draw" $tune --weight-map $map --out "$run/scores.jsonl" --json \
                >"$run/kept" || return 1
            kept=$(sed 's/.*"ess":\([0-9.]*\).*"records":\([0-9]*\).*/\1 \2/' "$run/kept" |
                awk '{ print $1 / $2 }')
        fi
        words="${*%%"$word"*}$kept${*#*"$word"}" ;;
    *) words=$* ;;
    esac
    case $words in
    *file:SHARED*)
        [ -f "$shared" ] || { say "no scores of $base, draw $draw, yet" && return 1; }
        words="${words%%file:SHARED*}file:$shared${words#*file:SHARED}" ;;
    esac
    # shellcheck disable=SC2086  # its words
    case $words in MORE* | FEWER*) equal_steps $words ;; esac
}

# Standard input: a score file. The share of records whose weight is not 0
weights_kept() {
    awk '{ n += $0 !~ /"weight":0[,}]/ } END { printf "%.6f", n / NR }'
}

# MORE|FEWER METHOD MAP OPTIONS...: takes these words away, and changes $steps by as many as the
# scoring costs, the holdout's check and own scores and the references included.
equal_steps() {
    sign=1 method=$2 map=$3
    [ "$1" = MORE ] || sign=-1
    shift 3
    words=$* own=
    case $* in *--reference-steps*)
        own=${*#*--reference-steps } own="--reference-steps ${own%% *}" ;;
    esac
    # shellcheck disable=SC2086
    ica score --model "$model" --pool "$pool_file" --holdout "$holdout_file" --seed "$draw" \
        $tune --method "$method" $own --weight-map "$map" --out "$run/scores.jsonl" --json \
        >"$run/cost" || return 1
    # shellcheck disable=SC2086
    ica train --model "$model" --pool "$pool_file" $tune --max-steps 20 --weights uniform \
        --seed "$draw" --out "$run/few" --overwrite >"$run/told" || return 1
    scored=$(flatten <"$run/cost" | sed 's/.*"flops":\([0-9.e+]*\).*/\1/')
    trained=$(flatten <"$run/few/run.json" | sed 's/.*"flops[.]train":\([0-9.e+]*\).*/\1/')
    rm -r "$run/few" "$run/told" "$run/cost"
    steps=$(awk -v steps="$steps" -v more="$scored" -v of="$trained" -v sign=$sign \
        'BEGIN { printf "%.0f", steps + sign * 20 * more / of }')
}

# SCORES POOL: "chosen":{...} of the records whose weight is not 0: their share of the pool, the
# clean share of them, and how much of what is clean they are. Nothing where the truth is not known.
chosen() {
    sed -n 's/.*"clean":\([a-z]*\).*/\1/p' "$2" | paste -d ' ' - "$1" | awk '
        match($0, /"weight":[-+0-9.e]+/) {
            kept = substr($0, RSTART + 9, RLENGTH - 9) > 0
            n += kept; clean += $1 == "true"; both += kept && $1 == "true"
            if ($1 != "true" && $1 != "false") unknown = 1
        }
        END {
            if (NR && !unknown && n && clean)
                printf "\"chosen\":{\"share\":%.6f,\"purity\":%.6f,\"recall\":%.6f},", n / NR,
                    both / n, both / clean
        }'
}

# SCORES MAP: the same of what `select` takes by this map.
chosen_of() {
    how="--weight-map $2"
    [ "$2" != top ] || how="--share 0.5" # what the map takes unless told
    # shellcheck disable=SC2086  # an option and its value
    ica select --pool "$pool_file" --scores "$1" $how --out "$run/selected.jsonl" >"$run/told" ||
        return 1
    sed -n 's/.*"clean":\([a-z]*\).*/\1/p' "$pool_file" "$run/selected.jsonl" | awk \
        -v all="$(wc -l <"$pool_file")" '
        NR <= all { clean += $1 == "true"; next }
        { n++; both += $1 == "true" }
        END {
            printf "\"chosen\":{\"share\":%.6f,\"purity\":%.6f,\"recall\":%.6f},", n / all,
                both / n, both / clean
        }'
    rm "$run/selected.jsonl" "$run/told"
}

# ---- the runs ---------------------------------------------------------------------------------
# Each makes $run/result.json.
run_score() { # OPTIONS...
    # shellcheck disable=SC2086
    ica score --model "$model" --pool "$pool_file" --holdout "$holdout_file" --draw "$draw" \
        --seed "$draw" $tune "$@" --out "$run/scores.jsonl" --json >"$run/result.json" || return 1
    case " $* " in *" accept "*)
        choice=$(chosen "$run/scores.jsonl" "$pool_file")
        sed "s/^{/{$choice/" "$run/result.json" >"$run/told" && mv "$run/told" "$run/result.json" ;;
    esac
    case "$base $*" in
    stories:*accept* | sessions:*accept*)
        mkdir -p "${shared%/*}"
        mv "$run/scores.jsonl.holdout.jsonl" "$shared.holdout.jsonl"
        weights_kept <"$run/scores.jsonl" >"$shared.kept"
        # Without weights, so that an arm's map makes its own.
        sed 's/"weight":[^,]*,//' "$run/scores.jsonl" >"$shared.part"
        mv "$shared.part" "$shared" ;;
    esac
}

run_near() { # OPTIONS...
    run_score "$@" || return 1
    same_kind "$run/scores.jsonl" "$pool_file" "$holdout_file" >"$run/kin" &&
        sed "s/^{/{\"kin\":$(cat "$run/kin"),/" "$run/result.json" >"$run/told" &&
        mv "$run/told" "$run/result.json" && rm "$run/kin"
}

# SCORES POOL HOLDOUT: the share of demonstrations that are about the candidate's kind of question
same_kind() {
    awk "$PROMPTS"'
        FNR == 1 { file++ }
        file == 1 { of[part($0, "id")] = kind(part($0, "prompt")); next }
        file == 2 { asked[FNR] = kind(part($0, "prompt")); next }
        {
            sub(/.*"demos":\[/, ""); sub(/\].*/, ""); gsub(/"/, "")
            m = split($0, id, ",")
            for (i = 1; i <= m; i++) { n++; same += of[id[i]] == asked[FNR] }
        }
        END { printf "%.6f", same / n }' "$3" "$2" "$1"
}

run_train() { # OPTIONS...
    eval_file=$test loss=
    case " $* " in
    *" dpo "*) tune=$PAIRS eval_file=$pairs_test loss="--objective dpo --beta 0.1" ;;
    *" simpo "*)
        tune=$PAIRS eval_file=$pairs_test steps=$((steps * 5 / 6))
        loss="--objective simpo --beta 2 --gamma-beta-ratio 0.25" ;;
    esac
    # Where the pool is the holdout, there is no other holdout.
    [ "$pool_file" = "$holdout_file" ] || set -- --holdout "$holdout_file" "$@"
    # shellcheck disable=SC2086
    ica train --model "$model" --pool "$pool_file" $tune $loss --max-steps "$steps" "$@" \
        --eval "$eval_file" --seed "$draw" --group "$group, base $base" --arm "$label" \
        --out "$run/train" --overwrite >"$run/result" || return 1
    parameters=$(cksum <"$run/train/model.safetensors") choice= plain=
    # What trained with label smoothing is measured without it, as all the others.
    case " $* " in *--label-smoothing*)
        case $loss in *dpo*) loss="$loss --reference $model" ;; esac
        # shellcheck disable=SC2086
        ica eval --model "$run/train" $loss --data "$eval_file" --json >"$run/plain" || return 1
        plain=$(flatten <"$run/plain" | sed 's/.*\("loss":[^,]*,\).*/\1/')
        rm "$run/plain" ;;
    esac
    [ ! -f "$run/train/scores.jsonl" ] || choice=$(chosen "$run/train/scores.jsonl" "$pool_file")
    case " $* " in
    *" file:"*minmax*) ;; # weights of a batch
    *" file:"*)
        choice=$(chosen_of "$shared" "${*##*--weight-map }") || return 1 ;;
    esac
    rm -f "$run"/train/*.safetensors "$run"/train/scores* "$run/result"
    for f in run.json log.jsonl metrics.json; do mv "$run/train/$f" "$run/$f"; done
    rm -r "$run/train"
    sed "s/^{/{\"parameters\":${parameters%% *},$plain$choice/" "$run/run.json" >"$run/result.json"
}

run_eval() { # K
    ica eval --model "$model" --data "$test" --holdout "$holdout_file" --k "$1" --json \
        >"$run/result.json"
}

# The score of a conditioned prompt in another template than the unconditioned one, METHOD in the
# FRAME minus loss in the base's own: its AUROC, and its mean size.
run_frame() { # METHOD FRAME
    mkdir "$run/model"
    cp "$model"/*.json "$model/merges.txt" "$model/model.safetensors" "$run/model/"
    case $2 in
    same) key=bos value='<bos>' ;;
    preamble) key=bos value='<bos>here are some examples . ' ;;
    words) key=prompt_prefix value='<q>question : ' ;;
    esac
    sed "s/\"$key\": *\"[^\"]*\"/\"$key\": \"$value\"/" "$model/template.json" \
        >"$run/model/template.json"
    inside=$run/model method=$1
    for side in inside outside; do
        # shellcheck disable=SC2086
        ica score --model "$inside" --pool "$pool_file" --holdout "$holdout_file" --seed "$draw" \
            $tune --method "$method" --out "$run/scores.jsonl" >"$run/told" || return 1
        sed 's/.*"score":\([-0-9.e]*\).*/\1/' "$run/scores.jsonl" >"$run/$side"
        inside=$model method=loss
    done
    sed 's/.*"clean":\([a-z]*\).*"source":"\([a-z]*\)".*/\1 \2/' "$pool_file" |
        paste -d ' ' "$run/inside" "$run/outside" - |
        awk '{ printf "%.15f %s %s\n", $1 - $2, $3, $4 }' >"$run/difference"
    {
        awk '{ s += $1 < 0 ? -$1 : $1 } END { printf "{\"size\":%.6f,\"auroc\":{", s / NR }' \
            "$run/difference"
        for source in verbose careless all; do
            printf '"%s":%s' $source "$(area $source <"$run/difference")"
            [ $source = all ] || printf ','
        done
        printf '}}\n'
    } >"$run/result.json"
    rm -r "$run/model" "$run/inside" "$run/outside" "$run/difference" "$run/told"
}

# Spearman's correlations of ICA's scores by the base with other scores: those of a model that was
# fine-tuned for STEPS steps by OPTIONS, or, where STEPS is 0, those by OPTIONS.
run_ranks() { # STEPS OPTIONS...
    at=$1 later=$model
    shift
    ica_scores "$model" || return 1
    awk '{ print $1 }' "$run/told" >"$run/first"
    if [ "$at" != 0 ]; then
        later=$run/train
        # shellcheck disable=SC2086
        ica train --model "$model" --pool "$pool_file" --holdout "$holdout_file" $tune \
            --max-steps "$at" --seed "$draw" "$@" --out "$later" --overwrite >"$run/told" ||
            return 1
        set --
    fi
    ica_scores "$later" "$@" || return 1
    paste -d ' ' "$run/first" "$run/told" >"$run/both"
    {
        printf '{"ranks":{"all":%s,' "$(agreement <"$run/both")"
        printf '"clean":%s,' "$(grep true "$run/both" | agreement)"
        printf '"corrupted":%s},' "$(grep false "$run/both" | agreement)"
        sed 's/^{//' "$run/summary"
    } >"$run/result.json"
    rm -rf "$run/train" "$run/told" "$run/first" "$run/both" "$run/summary"
}

# A run of data/online.sh. Of each of its stages: how many pairs it has, how the scores by the base
# and by the model that the stage begins with agree with the truth and with each other, and the
# tests after it. The reference of DPO's loss on the test is the base. The first answers are the
# same for all arms of a base and a draw, so they are made once.
run_online() { # SCORER WEIGHTS [TRUTH]
    first=$WORK/shared/online-${model##*/}-$draw from=$model stage=1 before= cost=
    mkdir -p "$run/online/1" "${first%/*}"
    [ ! -f "$first" ] || cp "$first" "$run/online/1/answers.jsonl"
    # shellcheck disable=SC2086  # options and their values
    as_child env SCORER=$1 TRUTH=${3:-graded} SEED=$draw ICA=$ICA STAGES=$STAGES ASK=400 NOISE=30 \
        STEPS=20 sh data/online.sh "$model" "$pool_file" "$holdout_file" "$run/online" "$2" \
        $ONLINE || return 1
    cp "$run/online/1/answers.jsonl" "$first.$*" && mv "$first.$*" "$first"
    [ "$1" = base ] || cost=$(online_cost)
    while [ "$stage" -le "$STAGES" ]; do
        printf '%s"%s":' "$before" "$stage"
        online_stage "$run/online/$stage" "$from" || return 1
        from=$run/online/$stage/model stage=$((stage + 1)) before=,
    done >"$run/stages"
    {
        printf '{"stages":{%s},%s' "$(cat "$run/stages")" "$cost"
        sed 's/^{//; s/}$/,/' "$run/test"
        sed 's/^{//' "$run/preferences"
    } >"$run/result.json"
    rm -r "$run/online" "$run/stages" "$run/test" "$run/preferences" "$run/base" "$run/present"
}

# The operations of all stages' scores, in those of their training
online_cost() {
    for f in "$run"/online/*/model/run.json; do flatten <"$f"; done |
        sed 's/.*"flops.score":\([^,]*\),.*"flops.train":\([^,]*\).*/\1 \2/' |
        awk '{ score += $1; train += $2 } END { printf "\"overhead\":%.6f,", score / train }'
}

online_stage() { # FOLDER MODEL: of this model the stage made its pairs
    printf '{"pairs":%d' "$(wc -l <"$1/pairs.jsonl")"
    for by in base present; do
        scorer=$2
        [ $by = present ] || scorer=$model
        ica score --model "$scorer" --objective dpo --pool "$1/pairs.jsonl" \
            --holdout "$holdout_file" --out "$run/scores.jsonl" --json >"$run/told" || return 1
        sed 's/.*"score":\([-+0-9.e]*\).*/\1/' "$run/scores.jsonl" >"$run/$by"
        printf ',"%s":%s' $by "$(cat "$run/told")"
    done
    printf ',"ranks":%s}' "$(paste -d ' ' "$run/base" "$run/present" | agreement)"
    ica eval --model "$1/model" --data "$test" --json >"$run/test" &&
        ica eval --model "$1/model" --objective dpo --reference "$model" --data "$pairs_test" \
            --json >"$run/preferences"
}

# MODEL OPTIONS...: $run/told has the score and the truth of each candidate, $run/summary the rest.
ica_scores() {
    by=$1
    shift
    # shellcheck disable=SC2086
    ica score --model "$by" --pool "$pool_file" --holdout "$holdout_file" --draw "$draw" \
        --seed "$draw" $tune "$@" --out "$run/scores.jsonl" --json >"$run/summary" || return 1
    sed -n 's/.*"clean":\([a-z]*\).*/\1/p' "$pool_file" >"$run/truth"
    sed 's/.*"score":\([-+0-9.e]*\).*/\1/' "$run/scores.jsonl" | paste -d ' ' - "$run/truth" |
        awk '{ printf "%.15f %s\n", $1, $2 }' >"$run/told"
    rm "$run/truth"
}

# Spearman's correlation of lines "X Y ..."
agreement() {
    awk '{ print $1, $2 }' | sort -n | mean_ranks 1 | sort -n -k 2 | mean_ranks 2 | awk '
        { x += $3; y += $4; xx += $3 * $3; yy += $4 * $4; xy += $3 * $4 }
        END { printf "%.6f", (xy - x * y / NR) / sqrt((xx - x * x / NR) * (yy - y * y / NR)) }'
}

mean_ranks() { # FIELD: lines sorted by it get their rank behind them, equal ones their mean rank
    awk -v f="$1" '
        { line[NR] = $0; v[NR] = $f }
        END { for (i = 1; i <= NR; i = j) {
                for (j = i; j <= NR && v[j] == v[i]; j++) continue
                for (t = i; t < j; t++) print line[t], (i + j - 1) / 2 } }'
}

area() { # SOURCE: AUROC of the clean against those of SOURCE, of lines "SCORE CLEAN SOURCE"
    awk -v source="$1" 'source == "all" || $2 == "true" || $3 == source' | sort -n | awk '
        { s[NR] = $1; clean[NR] = $2 == "true"; positives += clean[NR] }
        END { for (i = 1; i <= NR; i = j) {
                for (j = i; j <= NR && s[j] == s[i]; j++) continue
                for (t = i; t < j; t++) if (clean[t]) rank += (i + j - 1) / 2 }
            printf "%.6f", (rank - positives * (positives + 1) / 2) / (positives * (NR - positives))
        }'
}

# one_run TABLE LABEL KIND POOL HOLDOUT OPTIONS BASE DRAW FOLDER: the folder appears when all is in
# it. Until then it is FOLDER.part.
one_run() {
    group=$1 label=$2 base=$7 draw=$8 folder=$9
    run=$folder.part
    [ ! -d "$folder" ] || return 0
    rm -rf "$run"
    mkdir -p "$run"
    places "$base" "$draw"
    printf '%s\n' "$*" >"$run/command"
    echo "$BUILD" >"$run/build"
    [ "$6" = - ] && words= || words=$6
    # shellcheck disable=SC2086  # the words of OPTIONS
    if { files "$4" "$5" && options $words && "run_$3" $words; } 2>"$run/stderr"; then
        flatten <"$run/result.json" >"$run/figures"
        rm -rf "$run"/scores.jsonl* "$run/pool.jsonl" "$run/holdout.jsonl" "$run/corpus"
        mv "$run" "$folder"
    else
        say "study: failed: $run: $(tail -n 1 "$run/stderr")"
        return 1
    fi
}

# A JSON object on stdin as one line "path":number,... with every number outside of lists; true is
# 1 and false 0
flatten() {
    awk '
        { text = text $0 }
        END {
            while (match(text, /"([^"\\]|\\.)*"|[-+0-9][-+.0-9eE]*|true|false|[{}:,]|[][]/)) {
                word = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                if (word == "true" || word == "false") word = word == "true" ? 1 : 0
                if (word == "{") { inside[++depth] = 1; want = 1 }
                else if (word == "[") { inside[++depth] = 0; lists++; want = 0 }
                else if (word == "}") depth--
                else if (word == "]") { depth--; lists-- }
                else if (word == ",") want = inside[depth]
                else if (word == ":") want = 0
                else if (word ~ /^"/) { if (want) key[depth] = substr(word, 2, length(word) - 2) }
                else if (!lists && key[1] !~ /^(options|machine)$/) {
                    path = key[1]
                    for (i = 2; i <= depth; i++) path = path "." key[i]
                    sub(/^result[.]/, "", path)
                    printf "%s\"%s\":%s", comma, path, word
                    comma = ","
                }
            }
            print ""
        }'
}

# ---- all of it ---------------------------------------------------------------------------------
# work FUNCTION LIST: calls the function with the words of each line (tabs between) on all cores.
# A worker claims a line by a folder of its number.
work() {
    function=$1 list=$2 workers= w=0 status=0
    rm -rf "$WORK/claims"
    mkdir "$WORK/claims"
    while [ $w -lt "$THREADS" ]; do
        worker &
        workers="$workers $!"
        w=$((w + 1))
    done
    for worker in $workers; do wait "$worker" || status=1; done
    workers=
    return $status
}

worker() {
    child= failed=0 n=0
    trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 143' TERM
    while IFS= read -r line; do
        n=$((n + 1))
        mkdir "$WORK/claims/$n" 2>/dev/null || continue
        IFS=$TAB
        set -f
        # shellcheck disable=SC2086  # the words of the line
        set -- $line
        set +f
        IFS=$BLANKS
        "$function" "$@" || failed=1
    done <"$list"
    exit $failed
}

# Only one study at a time works in OUT. A lock whose process is gone does not count.
lock() {
    if ! mkdir "$WORK/lock" 2>/dev/null; then
        other=$(cat "$WORK/lock/pid" 2>/dev/null || echo 0)
        if [ "$other" -gt 0 ] && kill -0 "$other" 2>/dev/null; then
            die "process $other works in $WORK; wait for it, or give another OUT"
        fi
    fi
    echo $$ >"$WORK/lock/pid"
    trap 'rm -rf "$WORK/lock" "$WORK/claims"' EXIT
    trap 'trap - INT TERM; [ -z "$workers" ] || kill $workers 2>/dev/null; exit 130' INT TERM
}

# The program that makes the runs, and its name in the tables: the last commit that changed it.
take_build() {
    [ -x ./ica ] || die "no ./ica: run make first"
    cmp -s ./ica "$ICA" || cp ./ica "$ICA"
    sum=$(cksum <"$ICA" | tr ' ' -)
    BUILD=$(sed -n "s/^$sum //p" "$WORK/builds" 2>/dev/null | head -n 1)
    [ -z "$BUILD" ] || return 0
    BUILD=$(git log -1 --format=%h -- '*.c' '*.h' Makefile ':!tests' 2>/dev/null) || BUILD=
    [ -n "$BUILD" ] || BUILD=$("$ICA" --version | head -n 1)
    git diff --quiet HEAD -- '*.c' '*.h' Makefile ':!tests' 2>/dev/null || BUILD="$BUILD, changed"
    echo "$sum $BUILD" >>"$WORK/builds"
}

has_corpora() { # GROUP...: is one of them of the built-in corpus?
    for group in "$@"; do
        case " $REAL $WRITTEN " in *" $group "*) ;; *) return 0 ;; esac
    done
    return 1
}

make_bases() {
    rows $ONLY | runs | cut -f 7 | grep -Ev 'gsm8k|instruct|stories|sessions' |
        awk '!seen[$0]++' >"$WORK/bases"
    say "== corpora and bases $(tr '\n' ' ' <"$WORK/bases")"
    sed 's/:.*//' "$WORK/bases" | sort -u >"$WORK/seeds"
    work make_corpora "$WORK/seeds" && work make_base "$WORK/bases"
}

make_gsm8k() {
    say "== GSM8K: data, and bases $GSM8K_BASES"
    [ -f "$GSM8K/instruct/1/pool.jsonl" ] ||
        sh data/gsm8k.sh make "${GSM8K_DATA:?the folder of GSM8K}" \
            "${INSTRUCT:?instruction-data.json}" "$GSM8K"
    [ -d "$GSM8K/tokenizer" ] || "$ICA" tokenizer --data "$GSM8K/data/pretrain.jsonl" \
        --vocab-size 2048 --out "$GSM8K/tokenizer"
    for b in $GSM8K_BASES; do echo "gsm8k:$b"; done >"$WORK/bases"
    work make_base "$WORK/bases"
}

# Everything, group after group, so that the first tables are there early.
make_all() {
    mkdir -p "$WORK/runs"
    lock
    take_build
    rows $ONLY >"$WORK/rows"
    if has_corpora $ONLY; then
        make_bases >"$WORK/bases.log" 2>&1 ||
            die "no bases: see the end of $WORK/bases.log"
    fi
    case " $ONLY " in *" gsm8k"* | *" instruct"*) make_gsm8k >>"$WORK/gsm8k.log" 2>&1 ||
        die "no base for GSM8K: see the end of $WORK/gsm8k.log" ;; esac
    failed=0
    for group in $ONLY; do
        rows "$group" | runs | awk -F '\t' '!seen[$9]++' >"$WORK/list"
        say "== $group: $(wc -l <"$WORK/list") runs"
        work one_run "$WORK/list" || failed=1
        tables "$group"
    done
    [ $failed = 0 ] || die "some runs failed; the others are kept. Start again to try these again"
}

# One line for each run of each table: where it is, and all its figures
gather() {
    rows $ALL | runs | awk -F '\t' '
        function text(s) { gsub(/["\\]/, "\\\\&", s); return s }
        {
            file = $9 "/figures"
            if ((getline figures <file) <= 0) next
            close(file)
            build = ""
            getline build <($9 "/build")
            close($9 "/build")
            printf "{\"table\":\"%s\",\"row\":\"%s\",\"base\":\"%s\",\"draw\":%d,", $1, text($2),
                $7, $8
            printf "\"kind\":\"%s\",\"pool\":\"%s\",\"holdout\":\"%s\",\"options\":\"%s\",", $3, $4,
                $5, $6
            printf "\"build\":\"%s\",\"figures\":{%s}}\n", text(build), figures
        }' >"$WORK/results.jsonl.part"
    mv "$WORK/results.jsonl.part" "$WORK/results.jsonl"
}

# ---- tables -------------------------------------------------------------------------------------
# show TABLE FIRST COLUMNS [CHOOSE [BY]]: tests/bench/study.awk says what these are.
show() {
    awk -v table="$1" -v first="$2" -v columns="$3" -v choose="${4:-}" -v by="${5:-row}" \
        -f $HERE/study.awk "$WORK/results.jsonl" >"$WORK/tables/$1.md"
    [ -s "$WORK/tables/$1.md" ] || rm "$WORK/tables/$1.md"
}

AUROC="mean auroc.all 4 1 AUROC;mean auroc.careless 4 1 careless"
DIFFERENCE="diff auroc.all 4 1 difference"
LOSS="mean nll 4 1 test NLL;diff nll 4 1 difference"
COST="mean flops 2 1e-9 GFLOP;mean seconds 2 1 seconds"
RANKS="mean ranks.all 3 1 Spearman;mean ranks.clean 3 1 clean;mean ranks.corrupted 3 1 corrupted"
TRAINING_GFLOP="mean flops.score+flops.reference 1 1e-9 GFLOP of scores"
TRAINING_COST="$TRAINING_GFLOP;mean seconds.score+seconds.reference 2 1 their seconds"

show_bases() {
    show bases k "mean nll 3 1 NLL;mean p_sequence 3 1 P(sequence);mean exact_match 3 1 exact match"
}
show_maps() {
    for pool_name in even50 verbose60; do
        show maps-$pool_name arm "$LOSS;mean exact_match 3 1 exact match;mean ess 0 1 ESS;gap nll" \
            "holdout alone,pool and holdout,ica:minmax,ica:minmax-batch,ica:positive,ica:filter"
    done
}
show_rho() {
    show rho-scores method "$AUROC;$DIFFERENCE;$COST"
    show rho-training arm "$LOSS;gap nll;$TRAINING_COST"
}
show_pairs() {
    show pairs-dpo arm "mean loss 4 1 clean-pair loss;diff loss 4 1 difference;mean \
reward_accuracy 3 1 reward accuracy;gap loss"
    show pairs-simpo arm "mean loss 4 1 clean-pair loss;diff loss 4 1 difference;mean \
reward_accuracy 3 1 reward accuracy;gap loss;gap reward_accuracy"
}
show_demos() { show demos demonstrations "$AUROC;$DIFFERENCE;mean flops 2 1e-9 GFLOP"; }
show_embedding() {
    show embedding embedding "$AUROC;$DIFFERENCE;mean kin 3 1 same kind;mean flops 2 1e-9 GFLOP"
    show embedding-training arm "$LOSS;gap nll"
}
show_many() { show demos-many demonstrations "$AUROC;$DIFFERENCE;mean flops 2 1e-9 GFLOP"; }
show_contexts() { show contexts lists "$AUROC;$DIFFERENCE;$COST"; }
show_holdout() {
    show holdout holdout "$AUROC;$DIFFERENCE"
    show holdout-rho "holdout (RHO)" "$AUROC;$DIFFERENCE"
}
show_refresh() {
    for map in filter minmax-batch; do
        show refresh-$map "$map" "$LOSS;mean auroc.all 3 1 AUROC of the last scores;mean \
overhead_formula 2 1 overhead by operations;mean overhead_measured 2 1 by time"
    done
}
show_traps() {
    show traps-weights "weights, --normalize, micro-batch" "$LOSS;same parameters"
    show traps-leak "weights" "$LOSS;leak nll"
    show traps-frame "frame, demonstrations" "mean size 3 1 mean size of a score;$AUROC;mean \
auroc.verbose 4 1 verbose"
}
show_methods() { show methods method "$AUROC;$DIFFERENCE;$COST"; }
show_ranks() {
    show ranks method "$RANKS"
    show ageing "training" "$RANKS;mean auroc.all 3 1 AUROC"
}
show_accept() {
    choice="mean chosen.share 1 100 kept %;mean chosen.purity 1 100 purity %;mean chosen.recall 1 \
100 recall %;mean comparison.clean_share 1 100 clean %, estimated"
    for table in accept-even50 accept-verbose60 accept-weak; do
        show $table arm "mean nll 4 1 test NLL;gap nll;$choice"
    done
    show accept-wrong "holdout, arm" "mean nll 4 1 test NLL;gap nll;worst nll;$choice"
    show accept-pairs base "mean comparison.clean_share 3 1 estimated share;mean clean 3 0.00125 \
true share" "" base
}
show_attack() {
    for family in seen unseen plausible; do show_choice accept-rate-$family "rate, arm"; done
}
show_attack_weak() {
    for family in unseen plausible; do show_choice accept-$family-weak "rate, arm"; done
}
show_attack_lengths() {
    for table in accept-lengths-weak accept-lengths-short; do
        show_choice $table "pool, arm"
    done
}
show_accept_trim() {
    for table in accept-trim accept-trim-weak; do show_choice $table "holdout, arm"; done
}
show_accept_size() { show_choice accept-size "holdout, arm"; }
show_accept_size_wrong() { show_choice accept-size-wrong "holdout, arm"; }
show_accept_refresh() { show_choice accept-refresh arm; }
show_accept_rivals() {
    show_choice accept-rivals arm
    show_choice accept-control arm
}
show_accept_pairs() { show_flipped ""; }
show_accept_flips() { show_flipped -10 -20 -40; }
show_flipped() { # RATE...
    for objective in dpo simpo; do
        for rate in "$@"; do
            show accept-$objective$rate arm "mean loss 4 1 clean-pair loss;diff loss 4 1 \
difference;mean reward_accuracy 3 1 reward accuracy;gap loss;worst loss"
        done
    done
}
show_accept_rho() {
    for table in accept-rho accept-rho-weak; do
        show_choice $table arm "$TRAINING_GFLOP"
    done
}
show_accept_rho_wrong() { show_choice accept-rho-wrong "holdout, arm"; }
show_accept_equal() {
    for table in accept-equal accept-equal-weak; do
        show_choice $table arm "mean steps 0 1 steps;mean flops.train 1 1e-9 GFLOP of \
training;$TRAINING_GFLOP"
    done
}
show_accept_agree() {
    show_choice accept-agree "holdout, arm"
    show_choice accept-agree-numbers "holdout, arm"
}
show_accept_known() { show_choice accept-agree-known "holdout, arm"; }
show_choice() { # TABLE FIRST [COLUMNS]
    show "$1" "$2" "$LOSS;gap nll;worst nll;mean chosen.share 1 100 kept %;mean chosen.purity 1 \
100 purity %;mean chosen.recall 1 100 recall %${3:+;$3}"
}
show_online() {
    show online arm "mean loss 4 1 clean-pair loss;diff loss 4 1 difference;gap loss;worst \
loss;mean reward_accuracy 3 1 reward accuracy;mean exact_match 3 1 exact match;mean p_sequence 3 1 \
P(sequence);mean overhead 2 1 overhead by operations"
    columns=
    for by in present base; do
        for stage in 1 2 3 4; do
            [ $by$stage != base1 ] || continue
            columns="$columns;mean stages.$stage.$by.auroc.all 3 1 $by $stage"
        done
    done
    for stage in 2 3 4; do columns="$columns;mean stages.$stage.ranks 3 1 Spearman $stage"; done
    show online-scores training "${columns#;}"
    columns="mean stages.1.pairs 0 1 pairs 1;mean stages.4.pairs 0 1 pairs 4"
    for stage in 1 4; do
        columns="$columns;mean stages.$stage.present.holdout_check.gain 3 1 holdout's gain $stage"
    done
    for kind in right-wrong right-wordy wordy-wrong; do
        for by in present base; do
            columns="$columns;mean stages.2.$by.auroc.$kind+stages.3.$by.auroc.$kind+stages.4.$by\
.auroc.$kind 3 0.333333 $kind, $by"
        done
    done
    show online-kinds training "$columns"
}
show_check() { show_checks check; }
show_checks() { # TABLE
    check=holdout_check
    show "$1" base "mean $check.nll 3 1 loss alone;mean $check.nll_in_context 3 1 with \
demonstrations;mean $check.nll_shuffled 3 1 answers shuffled;mean $check.gain 3 1 gain;mean \
$check.gain_error 3 1 gain_error;mean $check.helps 2 1 helps;mean auroc.all 3 1 AUROC" "" base
}
show_real() { # TASK [COLUMNS]
    show_checks $1-check
    show $1-scores method "mean auroc.all 4 1 AUROC;${2:-}$DIFFERENCE;mean flops 2 1e-9 GFLOP"
    show $1 arm "$LOSS;gap nll;worst nll;mean chosen.share 1 100 kept %;mean chosen.purity 1 100 \
purity %;mean chosen.recall 1 100 recall %;mean comparison.clean_share 1 100 clean %, estimated"
}
show_gsm8k() { show_real gsm8k; }
show_instruct() {
    show_real instruct "mean auroc.jumbled 4 1 jumbled;mean auroc.refusal 4 1 refusal;"
}

show_gsm8k_trim() {
    show gsm8k-trim "holdout, arm" "mean chosen.share 1 100 kept %;mean chosen.purity 1 100 purity \
%;mean chosen.recall 1 100 recall %;mean auroc.all 3 1 AUROC"
}
show_instruct_trim() { show_choice instruct-trim "holdout, arm"; }

show_stories() { show_written stories; }
show_sessions() { show_written sessions; }
show_written() { # TASK
    show_checks $1-check
    show $1-scores method "mean auroc.all 4 1 AUROC;mean auroc.shuffled 4 1 shuffled;mean \
auroc.mixed 4 1 mixed;mean auroc.looped 4 1 looped;$DIFFERENCE;mean flops 2 1e-9 GFLOP"
    show_choice $1 arm
}

tables() { # GROUP...
    mkdir -p "$WORK/tables"
    gather
    for group in "$@"; do
        "show_$group"
        for table in $(rows "$group" | cut -f 1 | uniq); do
            [ ! -f "$WORK/tables/$table.md" ] ||
                { printf '\n%s\n\n' "$table" && cat "$WORK/tables/$table.md"; }
        done
    done
}

# docs/results.md: between <!-- study TABLE --> and <!-- end --> stands the table, when it is there
into_docs() {
    awk -v folder="$WORK/tables" '
        /^<!-- study [-a-z0-9]* -->$/ {
            print
            file = folder "/" $3 ".md"
            skip = 0
            while ((getline line <file) > 0) {
                if (!skip) print ""
                print line
                skip = 1
            }
            close(file)
            if (skip) print ""
            next
        }
        /^<!-- end -->$/ { skip = 0 }
        !skip' docs/results.md >"$WORK/results.md"
    cmp -s "$WORK/results.md" docs/results.md || cp "$WORK/results.md" docs/results.md
}

# One page: the loss curves and tables of the fine-tunings, a group for each base
page() {
    set --
    for f in "$WORK"/runs/*/*/*/run.json; do [ ! -f "$f" ] || set -- "$@" "${f%/run.json}"; done
    [ $# = 0 ] || "$ICA" report "$@" --out "$WORK/report.html" >"$WORK/report.txt"
}

list() {
    for group in $ONLY; do
        rows "$group" | runs | awk -F '\t' -v group="$group" '
            seen[$9]++ { next }
            { n++; if ((getline line <($9 "/figures")) > 0) { done++; close($9 "/figures") } }
            END { printf "%-18s %5d runs, %5d finished\n", group, n, done }'
    done
}

TAB=$(printf '\t')
BLANKS=" $TAB
"
workers=
case "${1:-}" in
"") make_all ;;
--tables)
    tables $ONLY
    into_docs
    page ;;
--list) list ;;
--help) sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" ;;
*)
    say "usage: tests/bench/study.sh [--tables | --list | --help]"
    exit 2 ;;
esac
