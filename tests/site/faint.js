// Texts of the page with too little contrast (WCAG 2.2, AA), as "ratio text".
() => {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
  const rgba = color => {
    pixel.clearRect(0, 0, 1, 1)
    pixel.fillStyle = color
    pixel.fillRect(0, 0, 1, 1)
    return [...pixel.getImageData(0, 0, 1, 1).data].map(value => value / 255)
  }
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => value * a + under[i] * (1 - a))
  const behind = element => {
    if (!element) return [1, 1, 1]
    const color = rgba(getComputedStyle(element).backgroundColor)
    return color[3] === 1 ? color.slice(0, 3) : over(color, behind(element.parentElement))
  }
  const light = color => {
    const [r, g, b] = color.map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ratio = element => {
    const under = behind(element)
    const [a, b] = [light(over(rgba(getComputedStyle(element).color), under)), light(under)]
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
  }
  const enough = ({ fontSize, fontWeight }) =>
    parseFloat(fontSize) >= 24 || parseFloat(fontSize) >= 18.7 && fontWeight >= 700 ? 3 : 4.5

  const faint = new Set()
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement
    if (!texts.currentNode.data.trim() || element.closest("svg, script, style")) continue
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    const found = ratio(element)
    if (found < enough(getComputedStyle(element)))
      faint.add(`${found.toFixed(1)} ${element.className || element.tagName}: ${texts.currentNode.data.trim().slice(0, 40)}`)
  }
  return [...faint]
}
