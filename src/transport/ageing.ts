/**
 * The order among priorities. Tasks are taken by turns:
 *
 * - a turn of priority goes to the first task of the highest priority that has one;
 * - a turn of age goes to the task that came first, where one of priority p counts as if it had come p × `ageing`
 *   milliseconds earlier.
 *
 * So neither shuts the other out. By age alone, a backlog that is older than the head start would go before all that is
 * urgent; by priority alone, low priority would wait for as long as there is anything higher. Within a priority tasks
 * keep their order in every turn: only the first of each is asked.
 */

/** Whether there are turns of age at all. */
export const isAgeing = (priorities: number, ageing: number): boolean =>
  priorities > 1 && ageing !== Infinity

/** Where a task stands in a turn of age: the least comes first, the higher priority of equals. `ageing` is finite. */
export const ageRank = (priority: number, admittedAt: number, ageing: number): number =>
  admittedAt - priority * ageing
