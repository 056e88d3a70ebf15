/*
 * A step's queue, the state words of its tasks, and recovery, one atomic operation of the code to a step. See README.md.
 *
 * src/transport/ring.ts: head, tail, cellOf, generationOf, push, peek, remove
 * src/transport/claims.ts: claim
 * src/transport/task-table.ts: FREE, QUEUED, CLAIMED, RUNNING, DONE, stateWord, stateOf, actorOf, generationOfState, move
 * src/worker/delivery.ts: finish
 * src/runtime/recovery.ts: recoverWorker
 * model only: notify, forget, moveOn
 */
#ifndef CELLS
#define CELLS 2
#endif
#ifndef TASKS
#define TASKS 3
#endif
/* How often a task is run: 1, or 2 when the worker hands it over into the queue again. */
#ifndef HOPS
#define HOPS 1
#endif

#define FREE 0
#define QUEUED 1
#define CLAIMED 2
#define RUNNING 3
#define DONE 4
#define stateWord(state, actor, generation) ((state) * 128 + (actor) * 16 + (generation))
#define stateOf(w) ((w) / 128)
#define actorOf(w) (((w) / 16) % 8)
#define generationOfState(w) ((w) % 16)

/* A cell holds a task, or the lap at which it may be filled next. */
#define TASK_BIT 64
#define cellOf(task, generation) (TASK_BIT + (task) * 16 + (generation))
#define taskOf(cell) (((cell) - TASK_BIT) / 16)
#define generationOf(cell) (((cell) - TASK_BIT) % 16)
#define isTask(cell) ((cell) >= TASK_BIT)
#define lap(position) ((position) / CELLS)
#define at(position) cells[(position) % CELLS]

/* Whether a worker is killed at some step. */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef CLIENTS
#define CLIENTS 1
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
/* Actors: the workers, the clients, the supervisor. */
#define SUPERVISOR (WORKERS + CLIENTS)
#define ACTORS (SUPERVISOR + 1)

byte cells[CELLS];
byte head, tail;
short word[TASKS];
byte runs[TASKS]; /* how often the handler has begun */
byte settled;
byte killed = ACTORS; /* the worker that was killed, from one step to the next */
bool dead; /* and the system says so */
/* Whether the queue has changed since the actor looked: what wakes it, in place of bells and masks. */
bool changed[ACTORS];

inline notify() {
  changed[0] = true;
  changed[1] = true;
#if ACTORS > 2
  changed[2] = true;
#endif
#if ACTORS > 3
  changed[3] = true;
#endif
#if ACTORS > 4
  changed[4] = true;
#endif
}

/* Each actor has variables of its own under these names; results come back in `pushed` and `cell`. */
#define LOCALS byte position, passed, peeked; byte found, cell; bool pushed, hasRoom, swapped; byte task, generation; short seen

/* What an actor that is gone has had in mind is of no interest any more. */
inline forget() {
  position = 0; passed = 0; peeked = 0; found = 0; cell = 0; task = 0; generation = 0; seen = 0;
  pushed = false; hasRoom = false; swapped = false
}

inline moveOn(hint) {
  d_step { if :: hint == position -> hint = position + 1; notify() :: else fi }
}

inline push(newCell) {
  changed[me] = false;
  do
  :: position = tail;
     hasRoom = true;
#ifndef FILL_UNPASSED
     if
     :: position >= passed && position - passed < CELLS -> skip
     :: else ->
        passed = head;
        if
        :: position < passed || position - passed < CELLS -> skip
        :: else -> /* full, unless only the head hint is behind: passEmptied */
           hasRoom = false;
           found = at(passed);
           if
           :: isTask(found) ->
              if :: head == passed -> pushed = false; break :: else fi
           :: else ->
              position = passed; moveOn(head)
           fi
        fi
     fi;
#endif
     if
     :: hasRoom ->
        d_step {
          pushed = (at(position) == lap(position));
          if :: pushed -> at(position) = newCell; notify() :: else fi
        }
        moveOn(tail);
        if :: pushed -> break :: else fi
     :: else
     fi
  od;
  position = 0; found = 0; hasRoom = false
}

/* The first cell, or 0. */
inline peek() {
  do
  :: position = head;
     found = at(position);
     if
     :: isTask(found) ->
        if :: head == position -> cell = found; peeked = position; break :: else fi
     :: found == lap(position) ->
        if :: head == position -> cell = 0; break :: else fi
     :: else ->
        moveOn(head)
     fi
  od;
  position = 0; found = 0
}

inline remove() {
  position = peeked;
  d_step {
    swapped = (at(position) == cell);
    if :: swapped -> at(position) = lap(position) + 1; notify() :: else fi
  }
  if :: swapped -> moveOn(head) :: else fi;
  position = 0; peeked = 0; swapped = false
}

inline move(from, to) {
  d_step {
    swapped = (word[task] == from);
    if :: swapped -> word[task] = to :: else fi
  }
}

/* Leaves a task's cell in `cell` when one was claimed, 0 when there is none. */
inline claim() {
  changed[me] = false;
  do
  :: peek();
     if
     :: cell == 0 -> break
     :: else ->
        task = taskOf(cell);
        generation = generationOf(cell);
        seen = word[task];
        if
        :: stateOf(seen) == QUEUED && generationOfState(seen) == generation ->
           move(seen, stateWord(CLAIMED, me, generation));
           if
           :: swapped -> remove(); break
           :: else -> peeked = 0; cell = 0; task = 0; generation = 0
           fi
        :: else -> remove(); cell = 0; task = 0; generation = 0 /* stale */
        fi
     fi;
     seen = 0
  od;
  seen = 0
}

inline finish() {
  d_step {
    assert(word[task] == stateWord(RUNNING, me, generation));
    word[task] = stateWord(DONE, me, generation + 1);
    settled++;
    task = 0;
    generation = 0;
    notify()
  }
}

active [CLIENTS] proctype Client() {
  LOCALS;
  byte me = WORKERS + _pid;
  byte mine = _pid;
  do
  :: mine < TASKS ->
     word[mine] = stateWord(QUEUED, me, 1);
     do
     :: push(cellOf(mine, 1));
        if :: pushed -> break :: else -> changed[me] fi
     od;
     mine = mine + CLIENTS
  :: else -> break
  od;
  forget()
}

active [WORKERS] proctype Worker() {
  LOCALS;
  byte me = _pid - CLIENTS;
  {
    do
    :: settled == TASKS -> break
    :: else ->
       claim();
       if
       :: cell == 0 -> (changed[me] || settled == TASKS)
       :: else ->
          /* start */
          d_step {
            assert(word[task] == stateWord(CLAIMED, me, generation));
            word[task] = stateWord(RUNNING, me, generation);
            runs[task]++;
            assert(runs[task] <= HOPS);
            cell = 0
          }
          if
          :: runs[task] == HOPS -> finish()
          :: else -> /* hand over */
             generation++;
             d_step {
               assert(word[task] == stateWord(RUNNING, me, generation - 1));
               word[task] = stateWord(QUEUED, me, generation)
             }
             push(cellOf(task, generation));
             assert(pushed);
             pushed = false; task = 0; generation = 0
          fi
       fi
    od
  } unless { atomic { killed == me -> forget(); dead = true } }
}

#if DEATHS
active proctype Killer() {
  if
  :: killed = 0 /* the workers are alike */
  :: skip
  fi
}

/* recoverWorker */
active proctype Supervisor() {
  LOCALS;
  byte me = SUPERVISOR;
  byte looked;
  bool holds;
end:
  dead;
  for (looked : 0 .. TASKS - 1) {
    task = looked;
    seen = word[task];
    if
    :: seen > 0 && actorOf(seen) == killed ->
       generation = generationOfState(seen);
       holds = false;
       if
       :: stateOf(seen) == CLAIMED ->
          move(seen, stateWord(RUNNING, me, generation));
          assert(swapped);
#ifdef SAME_GENERATION
          goto look
#else
          generation = generation + 2
#endif
       :: stateOf(seen) == QUEUED ->
look:     position = head;
          byte step = 0;
          do
          :: step < CELLS ->
             if :: at(position + step) == cellOf(task, generation) -> holds = true :: else fi;
             step++
          :: else -> break
          od;
          step = 0
       :: stateOf(seen) == RUNNING ->
          d_step {
            word[task] = stateWord(DONE, me, generation + 1);
            settled++;
            notify()
          }
          holds = true
       :: stateOf(seen) == DONE -> holds = true
       fi;
       if
       :: holds && stateOf(word[task]) != RUNNING -> skip
       :: else ->
          if
          :: word[task] == stateWord(RUNNING, me, generationOfState(seen)) ->
             word[task] = stateWord(QUEUED, me, generation)
          :: else
          fi;
          if
          :: holds -> skip
          :: else ->
             do
             :: push(cellOf(task, generation));
                if :: pushed -> break :: else -> changed[me] fi
             od
          fi
       fi
    :: else
    fi
  }
}

#endif

/*
 * What is left when nobody can go on: spin reports any state in which a process waits for ever, which a worker does as
 * long as a task is not settled. So the search proves that every task is settled, and the assertions that each is run
 * as often as it should be and settled once.
 */
