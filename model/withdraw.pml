/*
 * A caller that gives up, against whoever has its task at that moment: one slot, task after task in it, claimed, run,
 * handed over and finished by workers of which one dies. One atomic operation of the code to a step. See README.md.
 *
 * src/transport/task-table.ts: FREE, QUEUED, CLAIMED, RUNNING, DONE, stateWord, stateOf, actorOf, generationOfState,
 *   nextGeneration, move, cancel, isCancelled, describe
 * src/transport/claims.ts: claim
 * src/worker/batcher.ts: start
 * src/worker/delivery.ts: expire, finish, deliver
 * src/client/slots.ts: withdraw, release
 * src/client/client.ts: drain, collect, settle
 * src/runtime/recovery.ts: recoverWorker, putBack, complete
 * model only: forget, pushCell, convict
 *
 * The rings are sets of cells here (queue.pml has the real one): a cell of a generation lies there, or not.
 */
#ifndef TASKS
#define TASKS 2
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
/* How often a task is handed over to the queue again. */
#ifndef HOPS
#define HOPS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
/* How often a task is run again whose worker has died in it. */
#ifndef RETRIES
#define RETRIES 0
#endif
#define CLIENT WORKERS
#define SUPERVISOR (WORKERS + 1)

#define FREE 0
#define QUEUED 1
#define CLAIMED 2
#define RUNNING 3
#define DONE 4
#define stateWord(state, actor, generation) ((state) * 256 + (actor) * 32 + (generation))
#define stateOf(w) ((w) / 256)
#define actorOf(w) (((w) / 32) % 8)
#define generationOfState(w) ((w) % 32)
#define nextGeneration(generation) ((generation) + 1)
#define bit(index) (1 << (index))

short word; /* of the slot */
bool isCancelled;
byte fields; /* of which task they are; 0 of none */
byte outcome; /* who has written the outcome last: of which task */
int queued, done; /* cells: a bit for each generation */
byte settled[TASKS + 1];
byte deathsSeen; /* by the task in the slot */
byte killed = SUPERVISOR;
bool dead, isDown, isOver;

inline forget() { generation = 0; mine = 0; moved = false; hops = 0; isLate = false }

inline move(from, to) {
  d_step { moved = (word == from); if :: moved -> word = to :: else fi }
}

/* Tells the client. */
inline finish(from) {
#ifdef OUTCOME_UNCLAIMED
  outcome = mine;
#else
  /* What is RUNNING is this worker's to write into. */
  d_step { assert(fields == mine); outcome = mine };
#endif
  move(from, stateWord(DONE, me, nextGeneration(generation)));
  if
  :: moved -> done = done | bit(nextGeneration(generation))
  :: else
  fi
}

active [WORKERS] proctype Worker() {
  byte generation, mine, hops; bool moved, isLate;
  byte me = _pid;
again:
  {
    do
    :: isOver -> break
    :: queued != 0 ->
       /* claim: the first cell. To look first changes nothing: a cell that is stale stays so. */
       d_step {
         generation = 0;
         do :: (queued & bit(generation)) == 0 && generation < 31 -> generation++ :: else -> break od;
         moved = (stateOf(word) == QUEUED && generationOfState(word) == generation);
         if :: moved -> word = stateWord(CLAIMED, me, generation) :: else fi;
         queued = queued & ~bit(generation) /* a death in between is made good by who finds the cell stale */
       };
       if
       :: moved ->
             /* its deadline may have passed: expire, else start */
             mine = fields;
             if :: isLate = true :: isLate = false fi;
#ifdef OUTCOME_UNCLAIMED
             if
             :: isLate -> finish(stateWord(CLAIMED, me, generation)); moved = false
             :: else -> move(stateWord(CLAIMED, me, generation), stateWord(RUNNING, me, generation))
             fi;
#else
             move(stateWord(CLAIMED, me, generation), stateWord(RUNNING, me, generation));
#endif
             if
             :: moved ->
                mine = fields;
                if
                :: isLate || isCancelled || hops == HOPS ->
                   finish(stateWord(RUNNING, me, generation))
                :: else -> /* deliver */
                   assert(fields == mine);
                   hops++;
                   move(stateWord(RUNNING, me, generation), stateWord(QUEUED, me, nextGeneration(generation)));
                   assert(moved);
                   queued = queued | bit(nextGeneration(generation))
                fi
             :: else /* withdrawn, or expired */
             fi
       :: else
       fi;
       generation = 0; mine = 0; moved = false; isLate = false
    od
  } unless { atomic { killed == me && !isOver -> forget(); isDown = true; dead = true } };
#if RETRIES
  if
  :: isDown && me == 0 -> (killed != me || isOver); isDown = false; goto again /* its replacement */
  :: else
  fi
#endif
}

/* One task after another in the same slot. The caller of each may give up at any moment. */
active proctype Client() {
  short seen; byte generation, mine = 1; bool moved;
  byte me = CLIENT;
  do
  :: mine > TASKS -> break
  :: else ->
     assert(stateOf(word) == FREE);
     generation = nextGeneration(generationOfState(word));
     fields = mine;
     d_step { isCancelled = false; outcome = 0; deathsSeen = 0 }; /* describe */
     word = stateWord(QUEUED, me, generation);
     queued = queued | bit(generation);
     do
     :: stateOf(word) == FREE -> break
     :: settled[mine] == 0 -> /* the caller gives up: settle, withdraw */
        settled[mine]++;
        d_step {
          moved = (stateOf(word) == QUEUED || stateOf(word) == CLAIMED);
          if :: moved -> word = stateWord(FREE, me, generationOfState(word)) :: else fi
        };
        if :: moved -> fields = 0 /* release */ :: else -> isCancelled = true /* cancel */ fi
     :: done != 0 -> /* drain */
        d_step {
          generation = 0;
          do :: (done & bit(generation)) == 0 && generation < 31 -> generation++ :: else -> break od;
          done = done & ~bit(generation);
          seen = word
        };
        if
        :: stateOf(seen) == DONE && generationOfState(seen) == generation -> /* collect */
           assert(outcome == mine || outcome == SUPERVISOR + TASKS);
           settled[mine] = settled[mine] + (settled[mine] == 0 -> 1 : 0);
           fields = 0;
           word = stateWord(FREE, me, generation) /* release */
        :: else
        fi
     od;
     assert(settled[mine] == 1);
     moved = false; seen = 0; generation = 0;
     mine++
  od;
  mine = 0;
  isOver = true
}

#if DEATHS
active proctype Killer() {
  byte deaths;
  do
  :: deaths < DEATHS && killed == SUPERVISOR && !isDown && !isOver -> killed = 0; deaths++ /* the workers are alike */
  :: break
  od;
  deaths = 0
}

inline complete() { done = done | bit(generation) }

/* Tells the client what the death was to its task. */
inline convict() {
  outcome = SUPERVISOR + TASKS;
  generation = nextGeneration(generation);
  word = stateWord(DONE, me, generation);
  complete()
}

/* Nobody else can change the task now. */
inline putBack() {
  generation = generation + 2;
  word = stateWord(QUEUED, me, generation);
  /* A caller that went until now saw it running, and left it to who has it; from now on it takes it back. */
  if
  :: !isCancelled -> pushCell()
  :: else ->
     move(stateWord(QUEUED, me, generation), stateWord(RUNNING, me, generation));
     if :: moved -> convict() :: else fi
  fi
}

inline pushCell() { queued = queued | bit(generation) }

/* recoverWorker */
active proctype Supervisor() {
  short seen; byte generation; bool moved;
  byte me = SUPERVISOR;
  do
  :: dead ->
     seen = word;
     generation = generationOfState(seen);
     if
     :: actorOf(seen) == killed && stateOf(seen) == CLAIMED ->
        move(seen, stateWord(RUNNING, me, generation));
        if :: moved -> putBack() :: else fi
     :: actorOf(seen) == killed && stateOf(seen) == RUNNING ->
        if
        :: deathsSeen < RETRIES && !isCancelled -> deathsSeen++; putBack()
        :: else -> convict()
        fi
     :: actorOf(seen) == killed && stateOf(seen) == QUEUED ->
#ifdef CELL_FORGOTTEN
        skip
#else
        pushCell()
#endif
     :: actorOf(seen) == killed && stateOf(seen) == DONE -> complete()
     :: else
     fi;
     d_step { seen = 0; generation = 0; moved = false; dead = false };
#if RETRIES
     killed = SUPERVISOR
#endif
  :: isOver -> break
  od
}
#endif
