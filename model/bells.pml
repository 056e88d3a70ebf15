/*
 * Who sleeps in front of a step, and who wakes: one atomic operation of the code to a step. See README.md.
 *
 * src/transport/bells.ts: arm, disarm, ring, ringAnyway
 * src/transport/step-queue.ts: takeGathering, endGathering, sleep, wake, hasSleeper, needsWake, takeSleeper,
 *   waitForRoom, hasRoom, noteProducer, noteClient, shouldWakeRoomWaiters, takeRoomWaiters
 * src/transport/control.ts: wakeWorker, wakeRoomWaiters
 * src/worker/loop.ts: sleepForWork
 * src/worker/batcher.ts: fill
 * src/client/admission.ts: add, retry, hasTurn
 * src/runtime/recovery.ts: recoverWorker
 * model only: claim, sleepUntilFull, forget
 *
 * The queue itself is a count here (queue.pml has the real one). Memory and those who wait for it are like room and
 * those who wait for that: a mask of actors, taken as a whole by who makes some.
 */
#ifndef TASKS
#define TASKS 3
#endif
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef CLIENTS
#define CLIENTS 1
#endif
/* Tasks that may wait in front of the step. */
#ifndef ROOM
#define ROOM 9
#endif
/* Most tasks of a batch; from 2 on one worker gathers at a time, and waits for a fuller batch. */
#ifndef BATCH
#define BATCH 2
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define ACTORS (WORKERS + CLIENTS)
#define NOBODY ACTORS
#define bit(index) (1 << (index))
#define lowest(mask) (((mask) & 1) -> 0 : (((mask) & 2) -> 1 : (((mask) & 4) -> 2 : 3)))

byte waiting; /* tasks in the queue */
byte settled;
byte batch[WORKERS]; /* tasks that a worker has claimed */
bool armed[ACTORS];
bool rung[ACTORS]; /* a byte lies in the pipe */
byte sleepers, roomWaiters; /* masks */
byte listed; /* clients of which tasks wait to be admitted */
byte lastProducer = NOBODY, lastClient = NOBODY;
byte gatherer = NOBODY;
byte killed = ACTORS;
bool dead;

#define hasRoom (waiting < ROOM)
/* The last place is for the next client, after who found some last, of those that want it: of two, the other one. */
#define hasTurn (lastClient != me || (listed & ~bit(me)) == 0)
#define mayEnter (hasRoom && (ROOM == 1 || waiting < ROOM - 1 || hasTurn))
#define waitsBeside ((roomWaiters & ~bit(lastProducer)) != 0)
#define shouldWakeRoomWaiters (waitsBeside -> hasRoom : waiting <= ROOM / 2)

inline arm() { armed[me] = true }
inline disarm() { armed[me] = false }

/* To look at the word first changes nothing: who finds it unarmed could as well have failed to swap it. */
inline ring(actor) {
  d_step { won = armed[actor]; armed[actor] = false };
  if :: won -> rung[actor] = true; won = false :: else fi
}

/* Takes the lowest of the mask that was seen, if nobody else has meanwhile. */
inline takeSleeper() {
  taken = NOBODY;
  do
  :: seen = sleepers;
     if
     :: seen == 0 -> break
     :: else ->
        at = lowest(seen);
        d_step {
          won = ((sleepers & bit(at)) != 0);
          sleepers = sleepers & ~bit(at)
        };
        if :: won -> taken = at; break :: else fi
     fi
  od;
  won = false; seen = 0; at = 0
}

/* Control.wakeWorker */
inline wakeWorker() {
  taken = gatherer;
  if
  :: taken != NOBODY -> ring(taken)
  :: else ->
     takeSleeper();
     if :: taken != NOBODY -> ring(taken) :: else fi
  fi;
  taken = NOBODY
}

/* StepQueue.takeRoomWaiters, or BlockTable.takeWaiters: they are taken together, and rung one after another. */
inline wakeRoomWaiters() {
  d_step { seen = roomWaiters; roomWaiters = 0 };
  do
  :: seen != 0 ->
     d_step { at = lowest(seen); seen = seen & ~bit(at) };
     ring(at);
     at = 0
  :: else -> break
  od
}

/* Until it is rung, or the batchTimeout is over: time passes when nobody can go on, and no task may lie there unheard of. */
inline sleepUntilFull() {
  if
  :: rung[me] -> d_step { rung[me] = false; armed[me] = false }
  :: timeout -> d_step { assert(waiting == 0); armed[me] = false; isLate = true }
  fi
}

/* Batcher.claim: what is there, up to the size of a batch. */
inline claim() {
  do
  :: batch[me] < BATCH ->
     d_step {
       won = (waiting > 0);
       if :: won -> waiting--; batch[me]++ :: else fi
     };
     if :: won -> skip :: else -> break fi
  :: else -> break
  od;
  won = false;
  if
  :: ROOM < TASKS && shouldWakeRoomWaiters -> wakeRoomWaiters()
  :: else
  fi
}

#define LOCALS byte me, taken = NOBODY, seen, at; bool won, isMine, isLate

inline forget() { taken = 0; seen = 0; at = 0; won = false; isMine = false; isLate = false }

/* add, and retry: looks for room, asks for it, and looks once more; before it sleeps it does so again, with its bell armed. */
active [CLIENTS] proctype Client() {
  LOCALS;
  byte mine = TASKS / CLIENTS;
  byte looks;
  me = WORKERS + _pid;
  do
  :: mine == 0 -> break
  :: mine > 0 && mayEnter ->
     d_step { mine--; waiting++; looks = 0; listed = listed & ~bit(me); lastProducer = me /* noteProducer */; lastClient = me /* noteClient */ };
     if /* needsWake */
     :: gatherer != NOBODY || sleepers != 0 -> wakeWorker()
     :: else
     fi
  :: mine > 0 && !mayEnter ->
     listed = listed | bit(me);
     roomWaiters = roomWaiters | bit(me); /* waitForRoom */
     looks++;
     if
     :: looks == 2 -> arm()
#ifdef ONE_LOOK_ARMED
     :: looks == 3 ->
#else
     :: looks == 4 ->
#endif
        rung[me];
        d_step { rung[me] = false; armed[me] = false; looks = 0 }
     :: else
     fi
  od;
  forget();
  looks = 0
}

active [WORKERS] proctype Worker() {
  LOCALS;
  me = _pid - CLIENTS;
  {
    do
    :: settled == TASKS -> break
    :: else ->
       /* takeGathering */
       d_step { isMine = (gatherer == NOBODY || BATCH == 1); if :: isMine && BATCH > 1 -> gatherer = me :: else fi };
       if
       :: isMine ->
          claim();
          isLate = false; /* fill */
          do
          :: batch[me] > 0 && batch[me] < BATCH && !isLate ->
#ifdef LOOKED_BEFORE_ARMED
             if
             :: waiting > 0 -> skip
             :: else -> arm(); sleepUntilFull()
             fi;
#else
             arm();
             if
             :: waiting > 0 -> disarm()
             :: else -> sleepUntilFull()
             fi;
#endif
             claim()
          :: else -> break
          od;
          /* endGathering */
          if :: BATCH > 1 -> gatherer = NOBODY :: else fi
       :: else
       fi;
       isMine = false;
       if
       :: batch[me] == 0 ->
          /* sleepForWork: Sleeper.sleep, and StepQueue.sleep once the bell is armed */
#if ROOM < TASKS
          (waiting > 0 || settled == TASKS) /* this scene is about those who wait for room */
#else
#ifdef LISTED_BEFORE_ARMED
          sleepers = sleepers | bit(me);
          arm();
#else
          arm();
          sleepers = sleepers | bit(me);
#endif
          if
          :: waiting > 0 && gatherer == NOBODY -> disarm()
          :: else ->
             (rung[me] || settled == TASKS);
             d_step { rung[me] = false; armed[me] = false }
          fi;
          /* wake */
          sleepers = sleepers & ~bit(me)
#endif
       :: else ->
          if
          :: sleepers != 0 && waiting > 0 -> wakeWorker() /* hasSleeper */
          :: else
          fi;
          d_step { settled = settled + batch[me]; batch[me] = 0 }
       fi
    od
  } unless { atomic { killed == me -> forget(); dead = true } }
}

#if DEATHS
active proctype Killer() {
  if
  :: killed = 0
  :: killed = 1
  :: skip
  fi
}

/* recoverWorker: what it had claimed is put back; all are rung. */
active proctype Supervisor() {
  byte actor;
end:
  dead;
  d_step { waiting = waiting + batch[killed]; batch[killed] = 0 };
  d_step { if :: gatherer == killed -> gatherer = NOBODY :: else fi };
  sleepers = sleepers & ~bit(killed);
#ifndef NOBODY_RUNG
  for (actor : 0 .. ACTORS - 1) {
    rung[actor] = true /* ringAnyway */
  }
#endif
}
#endif
