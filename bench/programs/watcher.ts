// Looks at a dashboard as a browser does: reads all that it streams. Its argument is where the stream is.
const [url] = process.argv.slice(2)
const { body } = await fetch(url!)
let isFirst = true
for await (const chunk of body!) {
  if (isFirst && chunk.length > 0) process.send!('watching')
  isFirst = false
}
