import { render } from 'preact';
import { App } from './app';
import { stream } from './live/store';
import { watchIdentity } from './session';
import './style/base.css';
import './style/frame.css';
import './style/tables.css';
import './style/controls.css';
import './style/words.css';
import './style/narrow.css';

const root = document.getElementById('app');
if (root) {
  watchIdentity();
  stream.start();
  render(<App />, root);
}
