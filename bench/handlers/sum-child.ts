// The sum task in a child process, over its IPC channel.
process.on('message', ({ id, number }: { readonly id: number; readonly number: number }) => {
  process.send!({ id, sum: number + 1 })
})
